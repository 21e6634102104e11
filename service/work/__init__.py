"""Images that wait, workers that compute them, and the phases of the service's life."""
