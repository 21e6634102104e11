"""What answers at each path, and what the API says of itself."""
