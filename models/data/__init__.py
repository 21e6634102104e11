"""Data sets: found, checked, split, packed, decoded, augmented."""
