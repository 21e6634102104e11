"""`make compare`: MeliusNet beside MobileNet-v1 in one service, on the same cores and images."""
