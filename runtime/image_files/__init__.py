"""Image files of unknown origin: what their headers tell, and their pixels as RGB."""
