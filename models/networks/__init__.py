"""The networks in plain PyTorch: layers, variants, their sizes."""
