"""Instructions and modelled cycles of networks on Raspberry Pis: python -m runtime.bench.arm."""
