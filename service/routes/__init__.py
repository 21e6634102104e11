"""The routes: what answers at each path, and the description of the API."""
