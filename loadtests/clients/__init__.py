"""What sends requests: images, an HTTP client, loops, and what became of each request."""
