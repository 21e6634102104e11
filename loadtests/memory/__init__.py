"""`python -m loadtests.memory`: resident memory, its parts, and that of others."""
