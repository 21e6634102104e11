"""The shell commands, which need no server."""
