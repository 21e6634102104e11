"""What is kept of a training and of a measurement, and by which code it was made."""
