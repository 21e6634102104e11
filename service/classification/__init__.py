"""From an image's bytes to labels and explanations; without threads or HTTP."""
