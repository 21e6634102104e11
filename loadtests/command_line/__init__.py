"""What all tools share at the command line: options, and a line of progress."""
