"""The faults that a tool tells in one line: of its command line, and of a server."""


class WrongUsage(Exception):
    """The command line asks for something that is not there or makes no sense."""


class ServerFault(Exception):
    """A server could not be started, did not end, or did not answer as one of its kind does."""
