"""`python -m loadtests.drain`: clients of a service that is told to end."""
