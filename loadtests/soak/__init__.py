"""`python -m loadtests.soak`: many varied requests, and what grows meanwhile."""
