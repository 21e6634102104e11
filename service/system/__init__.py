"""What the machine and the container tell of themselves, and what this installation is."""
