"""The command line, one file a command. Only the command that runs imports what it needs."""
