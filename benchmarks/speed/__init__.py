"""The fast core against the textbook loop, against the machine, and as sizes grow."""
