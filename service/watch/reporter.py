"""Reports the results of a watch: printed line by line, or posted to a receiver."""

import json
import threading
from collections import deque
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Protocol

from runtime import Hedged
from service.classification.classifier import Prediction
from service.messages.logs import escape_controls
from service.messages.output import print_json, print_line
from service.watch.outage import Outage
from service.watch.web import ExchangeFailed, Patience, WebAddress, send

_MAX_WAITING = 1000
_LAST_SECONDS = 5.0
_HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Result:
    """The result of one frame: a line of output, or the body of a POST."""

    time: datetime
    source: str
    predictions: list[Prediction]
    model: str
    trained: bool
    engine: str
    image: dict[str, str | int]  # format, width, height
    timings_ms: dict[str, float]  # decode, preprocess, infer
    known: float | None = None  # how likely it shows a label; None: the model cannot say
    notice: str | None = None  # what to know before believing the predictions
    hedged: Hedged | None = None  # where a certainty was asked for
    hedged_text: str | None = None  # the same in words

    def describe(self) -> dict[str, object]:
        """Its JSON; the time in UTC; `known`, `notice` and `hedged` only where there are any."""
        content = {**asdict(self), "time": self.time.isoformat(timespec="milliseconds")}
        if self.known is None:
            del content["known"], content["notice"]
        del content["hedged_text"]
        if self.hedged is None:
            del content["hedged"]
        return content

    def __str__(self) -> str:
        labels = ", ".join(f"{item.label} {item.score:.3f}" for item in self.predictions)
        moment = self.time.astimezone().strftime("%H:%M:%S")
        none = "" if self.notice is None else f" (probably none of the labels, {self.known:.3f})"
        hedged = (
            "" if self.hedged is None else f"; at {self.hedged.certainty:g}: {self.hedged_text}"
        )
        return escape_controls(f"{moment} {self.source}: {labels}{none}{hedged}")


class Reporter(Protocol):
    """Where results go."""

    def report(self, result: Result) -> None:
        """Reports one result; never waits for a receiver."""
        ...

    def close(self) -> int:
        """Ends the reports; returns how many results never arrived."""
        ...


class Printer:
    """Prints a line for each result, for people or as JSON."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def report(self, result: Result) -> None:
        """Prints a result. Raises OutputLost, BrokenPipeError."""
        if self._as_json:
            print_json(result.describe())
        else:
            print_line(str(result))

    def close(self) -> int:
        """Printed results have arrived: 0."""
        return 0


class Poster:
    """Posts each result as JSON, in order; up to 1000 results wait while sending fails."""

    def __init__(
        self,
        address: WebAddress,
        silence: float,
        outage: Outage | None = None,
        last_seconds: float = _LAST_SECONDS,
    ) -> None:
        self._address = address
        self._outage = outage or Outage(
            "the receiver accepts no results; trying again", "the receiver accepts results again"
        )
        self._last_seconds = last_seconds
        self._waiting: deque[Result] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._stop = threading.Event()
        self._lost = 0
        self._patience = Patience(silence, 2 * silence, self._stop)
        self._thread = threading.Thread(target=self._run, name="poster", daemon=True)
        self._thread.start()

    def report(self, result: Result) -> None:
        """Stores a result; if too many wait, the oldest is lost."""
        with self._changed:
            if len(self._waiting) == _MAX_WAITING:
                self._waiting.popleft()
                self._lost += 1
            self._waiting.append(result)
            self._changed.notify_all()

    def close(self) -> int:
        """Waits a few seconds for the last results; returns how many never arrived."""
        with self._changed:
            self._closing.set()
            self._changed.notify_all()
        self._thread.join(self._last_seconds)
        self._stop.set()
        self._thread.join(1)
        with self._changed:
            return self._lost + len(self._waiting)

    def _run(self) -> None:
        while (result := self._wait()) is not None:
            is_last = self._closing.is_set()
            try:
                self._post(result)
            except ExchangeFailed as fault:
                seconds = self._outage.fail(f"{self._address}: {fault}")
                if is_last:
                    return
                self._closing.wait(seconds)
                continue
            self._outage.succeed()
            with self._changed:
                if self._waiting and self._waiting[0] is result:  # else it was given up meanwhile
                    self._waiting.popleft()

    def _wait(self) -> Result | None:
        """The oldest result, which is kept until it has arrived; None at the end."""
        with self._changed:
            while not self._waiting and not self._closing.is_set():
                self._changed.wait()
            return self._waiting[0] if self._waiting else None

    def _post(self, result: Result) -> None:
        body = json.dumps(result.describe()).encode()
        with send("POST", self._address, self._patience, body, _HEADERS) as answer:
            if not 200 <= answer.status < 300:
                raise ExchangeFailed(f"expected a status from 200 to 299; found {answer.status}")
