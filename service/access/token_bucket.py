"""A token bucket: how many images one caller may send now, and when it may send more."""


class TokenBucket:
    """A bucket of images: `rate` per second are added, up to `capacity`. Not thread-safe."""

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self._rate = rate
        self._capacity = capacity
        self._tokens = capacity
        self._at = now

    def take(self, images: int, now: float, before: int = 0) -> float:
        """Takes images and returns 0, or returns the seconds after which they may be taken.

        More images than the capacity are taken from a full bucket and owed: nothing is refused for
        ever, and the rate holds on average. `before`: images that the same request has already
        taken, so that the bucket need not be full again.
        """
        self._fill(now)
        missing = min(images, max(0.0, self._capacity - before)) - self._tokens
        if missing > 0:
            return missing / self._rate
        self._tokens -= images
        return 0.0

    def change(self, rate: float, capacity: float, now: float) -> None:
        """Changes rate and capacity; no images are added by the change."""
        self._fill(now)
        self._rate, self._capacity = rate, capacity
        self._tokens = min(self._tokens, capacity)

    def _fill(self, now: float) -> None:
        elapsed = max(0.0, now - self._at)
        self._tokens = min(self._capacity, self._tokens + elapsed * self._rate)
        self._at = max(self._at, now)
