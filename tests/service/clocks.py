"""A clock for tests of what depends on time."""


class Clock:
    """Time that the test makes go by, in seconds."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now
