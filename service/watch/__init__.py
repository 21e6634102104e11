"""Classification of a camera's images, frame by frame."""
