"""`watch`: classifies a camera's images, frame by frame, until it is stopped."""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

import numpy as np

from runtime import InvalidImage, Level
from service.classification.certainty import describe_hedged
from service.classification.classifier import Classifier, describe_unknown
from service.commands.commands import CommandFailed, find_level, load_classifier
from service.commands.interruption import interruption_calls
from service.messages.output import print_error
from service.messages.problems import NO_MEMORY
from service.server.notify import Notifier
from service.settings.settings import Settings
from service.watch.camera import DEFAULT_SILENCE, Camera, open_source
from service.watch.frames import Frame, SourceUnusable
from service.watch.newest import Newest
from service.watch.outage import Outage
from service.watch.reporter import Poster, Printer, Reporter, Result
from service.watch.web import InvalidAddress, parse_address

_log = logging.getLogger(__name__)
_LEAVE_SECONDS = 2.0
_END_SECONDS = 15.0  # until results are posted and the camera is left, at most


@dataclass(frozen=True)
class WatchOptions:
    """The options of the command line; None if not given."""

    source: str
    every: float = 1.0
    top_k: int | None = None
    min_score: float = 0.0
    only_changes: bool = False
    count: int | None = None
    post: str | None = None
    timeout: float | None = None
    as_json: bool = False
    certainty: float | None = None  # of hedged answers


def watch(settings: Settings, options: WatchOptions) -> int:
    """Watches until `count` results, SIGTERM or SIGINT. To be called in the main thread.

    Returns 0; 1 if the source or the model cannot be used, or if posted results did not arrive
    after `count` of them; 2 for wrong usage. Raises OutputLost, BrokenPipeError.
    """
    stop = threading.Event()
    newest = Newest(stop)

    def end() -> None:
        stop.set()
        newest.wake()

    work = Stopwatch()
    hang_seconds = settings.hang_ms / 1000
    # The main thread waits and pings, and so holds nothing that a signal's handler could wait for.
    with (
        closing(Notifier()) as notifier,
        ThreadPoolExecutor(1, "watch") as pool,
        interruption_calls(end),
    ):
        job = pool.submit(_watch, settings, options, newest, stop, work, notifier)
        _ping_until_done(job, notifier, lambda: work.seconds <= hang_seconds)
        return job.result()


def _ping_until_done(job: "Future[int]", notifier: Notifier, is_alive: Callable[[], bool]) -> None:
    was_alive = True
    while not wait([job], notifier.ping_seconds).done:
        if is_alive():
            notifier.ping()
        elif was_alive:
            _log.error("an image hangs; the service manager gets no more signs of life")
        was_alive = is_alive()


def _watch(
    settings: Settings,
    options: WatchOptions,
    newest: Newest,
    stop: threading.Event,
    work: "Stopwatch",
    notifier: Notifier,
) -> int:
    def fail(text: str, status: int) -> int:
        print_error(text)
        notifier.tell_failure(text)
        return status

    try:
        source = open_source(
            options.source, options.every, options.timeout, settings.max_body_bytes, stop
        )
        receiver = None if options.post is None else parse_address(options.post)
        classifier, top_k = load_classifier(settings, options.top_k)
        level = find_level(classifier, options.certainty)
    except SourceUnusable as fault:
        return fail(str(fault), 2)
    except InvalidAddress as fault:
        return fail(f"--post: {fault}", 2)
    except CommandFailed as fault:
        return fail(str(fault), fault.status)
    camera = Camera(source, newest, stop)
    reporter: Reporter = (
        Printer(options.as_json)
        if receiver is None
        else Poster(receiver, options.timeout or DEFAULT_SILENCE)
    )
    watching = Watching(
        classifier, settings.threads, top_k, options, newest, reporter, stop, work, level
    )
    began = monotonic()
    _log.info("watching", extra={"source": source.name, "every": options.every})
    camera.start()
    notifier.tell_ready(f"watching {source.name}")
    try:
        watching.run()
    except SourceUnusable as fault:
        return fail(str(fault), 1)
    finally:
        was_told = stop.is_set()
        notifier.tell_stopping("the watch ends", _END_SECONDS)
        stop.set()
        unsent = reporter.close()
        camera.join(_LEAVE_SECONDS)
        summary = {"seconds": round(monotonic() - began, 1), **watching.counts}
        summary |= {"passed_over": newest.passed_over, "outages": camera.outage.count}
        if receiver is not None:
            summary["unsent"] = unsent
        _log.info("the watch has ended", extra=summary)
    return 1 if unsent and not was_told else 0


class Stopwatch:
    """The duration of the present piece of work; another thread looks at it."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._began: float | None = None

    def __enter__(self) -> None:
        self._began = self._clock()

    def __exit__(self, *_: object) -> None:
        self._began = None

    @property
    def seconds(self) -> float:
        """Seconds since it began; 0 if there is none."""
        began = self._began
        return 0.0 if began is None else self._clock() - began


class Watching:
    """The loop: classifies and reports the newest frame, at the wanted interval.

    `counts` has the frames in all, and of them those that gave a result, could not be decoded
    (bad), had no label with the min score (unsure) or the same label as before.
    """

    def __init__(
        self,
        classifier: Classifier,
        threads: int,
        top_k: int,
        options: WatchOptions,
        newest: Newest,
        reporter: Reporter,
        stop: threading.Event,
        work: "Stopwatch | None" = None,
        level: Level | None = None,
    ) -> None:
        self.counts = Counter(frames=0, results=0, bad=0, unsure=0, unchanged=0)
        self._classifier = classifier
        self._threads = threads
        self._top_k = top_k
        self._options = options
        self._newest = newest
        self._reporter = reporter
        self._stop = stop
        self._work = work or Stopwatch()
        self._level = level  # of the hedged answers, if there are any
        # The best label, whether to believe it, and the hedged one.
        self._seen: tuple[str, bool, str | None] | None = None
        self._bad = Outage(
            "the camera's images cannot be decoded; they are skipped",
            "the camera's images can be decoded again",
        )

    def run(self) -> None:
        """Runs until `stop` is set or there are `count` results.

        Raises SourceUnusable, OutputLost, BrokenPipeError.
        """
        due = monotonic()
        while self.counts["results"] != self._options.count:
            self._stop.wait(max(0.0, due - monotonic()))
            frame = self._newest.take()
            if frame is None:
                return
            due = monotonic() + self._options.every
            self.counts["frames"] += 1
            with self._work:
                result = self._classify(frame)
            if result is not None:
                self._reporter.report(result)
                self.counts["results"] += 1

    def _classify(self, frame: Frame) -> Result | None:
        """The result, if there is something to report."""
        classifier = self._classifier
        taken = datetime.now(UTC)
        try:
            image = classifier.prepare(frame.data)
        except (InvalidImage, MemoryError) as fault:
            reason = NO_MEMORY if isinstance(fault, MemoryError) else str(fault)
            self._bad.fail(f"{frame.name}: {reason}")
            self.counts["bad"] += 1
            return None
        self._bad.succeed()
        logits, seconds = classifier.infer(image.tensor[np.newaxis], self._threads)
        ranked = classifier.rank(logits[0], self._top_k)
        known = classifier.estimate_known(logits[0])
        hedged = None if self._level is None else classifier.hedge(logits[0], self._level)
        predictions = [item for item in ranked if item.score >= self._options.min_score]
        if not predictions:
            self.counts["unsure"] += 1
            return None
        notice = describe_unknown(classifier.manifest, known)
        classes = classifier.manifest.classes
        seen = predictions[0].label, notice is None, None if hedged is None else hedged.label
        if self._options.only_changes and seen == self._seen:
            self.counts["unchanged"] += 1
            return None
        self._seen = seen
        took = {
            "decode": image.decode_seconds,
            "preprocess": image.preprocess_seconds,
            "infer": seconds,
        }
        return Result(
            time=taken,
            source=frame.name,
            predictions=predictions,
            known=known,
            notice=notice,
            hedged=hedged,
            hedged_text=None if hedged is None else describe_hedged(hedged, classes),
            model=classifier.manifest.name,
            trained=classifier.manifest.trained,
            engine=classifier.engine_name,
            image={"format": image.format, "width": image.width, "height": image.height},
            timings_ms={name: round(1000 * value, 3) for name, value in took.items()},
        )
