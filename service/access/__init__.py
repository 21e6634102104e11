"""Access: names of the service, API keys and their rates, pages of other origins."""
