"""Image files of unknown origin: reads their headers, and their pixels as RGB."""
