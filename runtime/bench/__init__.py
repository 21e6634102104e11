"""The project's measuring instrument: python -m runtime.bench; runtime/README.md explains it."""
