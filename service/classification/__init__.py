"""From an image's bytes to labels, and what an answer rests on; without threads or HTTP."""
