"""What operators set, and how it is written: variables, a file, addresses."""
