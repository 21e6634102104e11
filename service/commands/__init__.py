"""What the program does in the shell, without a server."""
