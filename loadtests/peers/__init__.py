"""Other ways to serve the same network, each in an environment of its own, without our code."""
