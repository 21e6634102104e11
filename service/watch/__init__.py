"""What a camera sees, frame by frame."""
