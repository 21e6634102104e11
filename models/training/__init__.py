"""Trains a network by a recipe, with checkpoints to resume from."""
