"""Trains a network by a recipe, with checkpoints to go on from."""
