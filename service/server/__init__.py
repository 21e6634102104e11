"""Serving over HTTP: the socket, connections, signals, shutdown, messages to systemd."""
