"""Load tests: they know the service by HTTP alone and import nothing else of this repository."""
