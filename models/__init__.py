"""The networks in PyTorch: definition, training, conversion and export."""
