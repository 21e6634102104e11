"""Opens a camera by its name, with a thread that takes its frames during the watch."""

import math
import random
import threading
from pathlib import Path

from service.watch.frames import Source, SourceLost, SourceUnusable, UnknownSource
from service.watch.frames_folder import ImageFolder
from service.watch.frames_web import WebCamera
from service.watch.newest import Newest
from service.watch.outage import Outage
from service.watch.web import ExchangeFailed, InvalidAddress, Patience, parse_address

#: Seconds of silence of a URL after which it is asked again.
DEFAULT_SILENCE = 10.0
#: So many times the silence may a whole image take.
WHOLE = 6
_RECONNECT_SECONDS = 0.5


def open_source(
    name: str, every: float, silence: float | None, limit: int, stop: threading.Event
) -> Source:
    """The folder or the camera of this name; a URL is not requested yet.

    `every`: seconds between two still images; `silence`: max seconds without an image, None for the
    default, which a folder does not have; `limit`: max bytes of an image. Raises UnknownSource,
    NoSuchFolder.
    """
    if "://" not in name:
        return ImageFolder(Path(name), limit, stop, math.inf if silence is None else silence)
    try:
        address = parse_address(name)
    except InvalidAddress as fault:
        raise UnknownSource(f"SOURCE: {fault}") from fault
    seconds = DEFAULT_SILENCE if silence is None else silence
    return WebCamera(address, every, limit, Patience(seconds, WHOLE * seconds, stop))


class Camera(threading.Thread):
    """Passes on each frame of a source; if the source fails, it is tried again."""

    def __init__(
        self, source: Source, newest: Newest, stop: threading.Event, outage: Outage | None = None
    ) -> None:
        super().__init__(name="camera", daemon=True)  # name resolution cannot be interrupted
        self.outage = outage or Outage(
            "the camera sends no images; trying again", "the camera sends images again"
        )
        self._source = source
        self._newest = newest
        self._stop_event = stop

    def run(self) -> None:
        """Runs until it is stopped, or its source is unusable before the first frame."""
        try:
            self._run()
        except BaseException as fault:
            self._newest.fail(fault)  # the thread that waits for frames raises it

    def _run(self) -> None:
        ever = False
        while not self._stop_event.is_set():
            count = 0
            try:
                for frame in self._source.frames():
                    count += 1
                    ever = True
                    self._newest.put(frame)
                    self.outage.succeed()
                if count:  # some cameras end a stream after a while: it is asked for again
                    self._stop_event.wait(_RECONNECT_SECONDS * (1 + random.random()))
                    continue
                reason = "expected images; found the end of the stream"
            except SourceUnusable as fault:
                if not ever:
                    raise
                reason = str(fault)
            except (SourceLost, ExchangeFailed) as fault:
                reason = str(fault)
            except OSError as fault:
                reason = f"{fault.filename}: {fault.strerror}" if fault.filename else str(fault)
            if not self._stop_event.is_set():
                self._stop_event.wait(self.outage.fail(reason))
