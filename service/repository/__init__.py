"""The models that the service has: which there are, how they are loaded, swapped and unloaded."""
