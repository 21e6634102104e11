"""Classifies any number of images on one machine: names in, a row for each of them out."""
