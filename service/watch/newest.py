"""Hands the newest frame from the receiving thread to the classifying one."""

import threading

from service.watch.frames import Frame


class Newest:
    """Room for one frame: a newer one replaces one that nobody took. Thread-safe."""

    def __init__(self, stop: threading.Event) -> None:
        self.passed_over = 0
        self._stop = stop
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._fault: BaseException | None = None

    def put(self, frame: Frame) -> None:
        """Stores a frame; a frame that it replaces is counted in `passed_over`."""
        with self._changed:
            self.passed_over += frame.passed_over + (self._frame is not None)
            self._frame = frame
            self._changed.notify_all()

    def fail(self, fault: BaseException) -> None:
        """No frame will come any more: `take` raises the fault."""
        with self._changed:
            self._fault = fault
            self._changed.notify_all()

    def wake(self) -> None:
        """Wakes `take` so that it sees that `stop` was set."""
        with self._changed:
            self._changed.notify_all()

    def take(self) -> Frame | None:
        """Waits for the newest frame; None once `stop` is set. Raises what `fail` was given."""
        with self._changed:
            while self._frame is None and self._fault is None and not self._stop.is_set():
                self._changed.wait()
            if self._stop.is_set():
                return None
            frame, self._frame = self._frame, None
            if frame is None and self._fault is not None:
                raise self._fault
            return frame
