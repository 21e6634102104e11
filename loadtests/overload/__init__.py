"""`python -m loadtests.overload`: many more requests than the service can answer."""
