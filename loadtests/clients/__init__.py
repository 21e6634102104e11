"""What sends requests: images, an HTTP client, loops, and the outcome of each request."""
