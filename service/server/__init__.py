"""Serving over HTTP: the socket, connections, signals and the end; what systemd is told."""
