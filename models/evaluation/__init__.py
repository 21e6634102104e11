"""How good a network or a bundle is: accuracy, calibration, confusion."""
