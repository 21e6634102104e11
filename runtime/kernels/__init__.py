"""The kernel library in Python: its C ABI (csrc/bnn.h), and its layers in plain NumPy."""
