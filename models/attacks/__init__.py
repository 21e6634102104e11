"""Attacks on networks: small changes of an image that are meant to change the answer."""
