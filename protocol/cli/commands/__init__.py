"""Commands of the command line, by kind."""
