"""Facts about the machine, the container and this installation."""
