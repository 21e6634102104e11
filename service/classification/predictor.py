"""Predicts how long an image keeps a worker busy, learned from images of similar size."""

import threading

_WEIGHT = 0.2  # of the newest image in the moving average
_DEFAULT_SECONDS = 0.02  # before anything was measured


class Predictor:
    """Moving averages of seconds by size class: files of 2**k to 2**(k+1) bytes. Thread-safe.

    A request announces its bytes before the body is read, and larger files take longer to decode. A
    class without a measurement uses its nearest neighbour's, in proportion to the bytes if the
    neighbour is smaller. 0 bytes stand for tensors, which need no decoding.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[int, float] = {}

    def take_over(self, other: "Predictor") -> None:
        """Copies the averages of another predictor, and forgets its own."""
        with other._lock:
            seconds = dict(other._seconds)
        with self._lock:
            self._seconds = seconds

    def learn(self, size: int, seconds: float) -> None:
        """Adds a measurement: an image of `size` bytes kept a worker busy for so many seconds."""
        size_class = size.bit_length()
        with self._lock:
            known = self._seconds.get(size_class)
            if known is None:
                self._seconds[size_class] = seconds
            else:
                self._seconds[size_class] = known + _WEIGHT * (seconds - known)

    def predict(self, size: int) -> float:
        """Predicted seconds that an image of `size` bytes keeps a worker busy."""
        size_class = size.bit_length()
        with self._lock:
            known = self._seconds.get(size_class)
            if known is not None:
                return known
            if not self._seconds:
                return _DEFAULT_SECONDS
            nearest = min(self._seconds, key=lambda other: abs(other - size_class))
            seconds = self._seconds[nearest]
        return seconds * 2.0 ** max(0, size_class - nearest)
