"""`python -m loadtests.corpus`: every file of some folders, and what the service makes of it."""
