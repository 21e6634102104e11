"""The report of all finished runs."""
