"""Converts a trained network into a bundle that the runtime serves."""
