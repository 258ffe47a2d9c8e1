"""How fast the house is: against the plain loop of the textbook, against the machine, and as sizes grow."""
