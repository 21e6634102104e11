"""The memory that the process may use, and who has how much of it."""
