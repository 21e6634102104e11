"""The models of the service: how they are found, loaded, swapped and unloaded."""
