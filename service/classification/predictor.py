"""How long an image will keep a worker busy, learned from those of about its size."""

import threading

_WEIGHT = 0.2  # of the newest image in the moving average
_DEFAULT_SECONDS = 0.02  # before anything was measured


class Predictor:
    """Moving averages of seconds by size class: files of 2**k to 2**(k+1) bytes. Thread-safe.

    Bytes are what a request announces before its body is read, and decoding takes about as long as
    a file is large. A class without a measurement takes its nearest neighbour's, in proportion to
    the bytes where the neighbour is smaller. 0 bytes stand for what need not be decoded.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[int, float] = {}

    def take_over(self, other: "Predictor") -> None:
        """Knows what the other one knows, and forgets the rest."""
        with other._lock:
            seconds = dict(other._seconds)
        with self._lock:
            self._seconds = seconds

    def learn(self, size: int, seconds: float) -> None:
        """Takes in that an image of `size` bytes kept a worker busy for so many seconds."""
        size_class = size.bit_length()
        with self._lock:
            known = self._seconds.get(size_class)
            if known is None:
                self._seconds[size_class] = seconds
            else:
                self._seconds[size_class] = known + _WEIGHT * (seconds - known)

    def predict(self, size: int) -> float:
        """Seconds that an image of `size` bytes will keep a worker busy."""
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
