"""The memory that the process may use, and how it is shared out."""
