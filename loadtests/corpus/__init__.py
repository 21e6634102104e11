"""`python -m loadtests.corpus`: every file of some folders, and how the service answers it."""
