"""The networks in PyTorch: definition, training, conversion and export."""

import importlib.util

if importlib.util.find_spec("torch") is None:
    raise ImportError("models needs PyTorch, which is not installed: make WITH_TORCH=yes setup")
