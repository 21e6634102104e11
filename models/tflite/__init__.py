"""Reads quantised .tflite classifiers and makes bundles of them."""
