"""The errors that a tool prints in one line: wrong usage, and faults of a server."""


class WrongUsage(Exception):
    """The command line asks for something that is not there or makes no sense."""


class ServerFault(Exception):
    """A server could not be started, did not end, or did not answer as one of its kind does."""
