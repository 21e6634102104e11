"""`classify`: a row for each image of files, folders, prefixes and lists, on all cores."""

import os
import stat
import sys
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from time import monotonic

from runtime import RuntimeFault
from service.bulk.dask import ClusterUnusable, DaskPool
from service.bulk.feed import Feed
from service.bulk.folders import Passed
from service.bulk.name_lists import InvalidList
from service.bulk.object_store import StoreUnusable, check_store, is_url
from service.bulk.options import (
    STANDARD_INPUT,
    BulkOptions,
    CannotRun,
    check_options,
    choose_form,
    describe_making,
    limit_workers,
)
from service.bulk.output_file import OutputBusy, OutputFailed, OutputFile, OutputRefused
from service.bulk.pool import PoolBroken, WorkerPool
from service.bulk.process import Encoded, encode_rows
from service.bulk.progress import Progress
from service.bulk.worker import ImageWorker
from service.classification.classifier import (
    Classifier,
    InvalidCertainty,
    InvalidTopK,
    NoHierarchy,
)
from service.commands.interruption import interruption_calls
from service.messages.output import print_bytes, print_error, print_note
from service.settings.settings import Settings

INTERRUPTED = 130  # the status of what SIGINT or SIGTERM ended
_FEW = 32  # images for which it does not pay to start processes
_PEEK_SECONDS = 0.3
_BATCH = 16
_WINDOW = 16  # batches for each worker that may wait for an earlier one, so that order is kept
_LOOK_SECONDS = 0.5
_LEAVE_SECONDS = 10.0  # until batches in work are done, after an interruption


def classify_images(settings: Settings, options: BulkOptions) -> int:
    """Writes a row for each image, in the order of the names. To be called in the main thread.

    Returns 0; 1 if an image failed, a folder could not be read, or the run could not continue; 2
    for wrong usage; 130 after SIGINT or SIGTERM. Raises OutputLost, BrokenPipeError.
    """
    try:
        return _Run(settings, options).run()
    except CannotRun as fault:
        print_error(str(fault))
        return fault.status
    except (OutputBusy, OutputFailed, PoolBroken, ClusterUnusable) as fault:
        print_error(str(fault))
        return 1
    except OutputRefused as fault:
        print_error(str(fault))
        return 2


class _Run:
    def __init__(self, settings: Settings, options: BulkOptions) -> None:
        self._options = options
        self._settings = settings
        check_options(options)
        self._worker = ImageWorker(settings, options.top_k, settings.threads, options.certainty)
        classifier, top_k = _load(self._worker)
        self._form = choose_form(options, top_k, classifier.manifest.known is not None)
        self._engine = classifier.engine.name
        self._model_id = classifier.model_id
        self._output: OutputFile | None = None
        if options.output is not None:
            self._output = OutputFile(
                options.output,
                self._form,
                describe_making(classifier, self._form, options, settings),
                overwrite=options.overwrite,
                retry_errors=options.retry_errors,
            )
        self._done = self._failed = self._there = 0
        self._faults: deque[str] = deque()
        self._unlisted = 0
        self._must_stop = False
        self._began = monotonic()
        is_shown = _is_terminal(sys.stderr) and (
            self._output is not None or not _is_terminal(sys.stdout)
        )
        self._progress = Progress(is_shown)
        if is_shown:
            threading.Thread(target=self._count, name="count", daemon=True).start()

    def run(self) -> int:
        def stop() -> None:
            self._must_stop = True

        is_quiet = self._output is None
        try:
            with interruption_calls(stop), Feed(self._list()) as feed:
                if self._output is None:
                    print_bytes(self._form.encode_header())
                fault = None
                few = None
                options = self._options
                if (self._output, options.workers, options.dask) == (None, None, None):
                    few = feed.peek(_FEW, _PEEK_SECONDS)
                try:
                    if STANDARD_INPUT in self._options.sources.names:
                        self._run_on_input()
                    elif few is None:
                        is_quiet = False
                        self._run_processes(feed)
                    else:
                        self._run_here(feed)
                except (InvalidList, StoreUnusable) as raised:
                    fault = CannotRun(str(raised), 2)
                self._tell_faults()
                self._progress.clear()
        finally:
            if self._output is not None:
                self._output.close()
        if not is_quiet:
            self._summarise()
        if fault is not None:
            raise fault
        return self._find_status()

    def _list(self) -> Iterator[str]:
        """Names to classify; runs in the feed's thread."""
        output = self._output
        protocols: set[str] = set()
        for name in self._options.sources.list_names(self._report):
            if output is None or output.names.add(name):
                # What a store lacks ends the run, rather than a row for each image. On Dask it is
                # the workers that have to have it, and they look themselves.
                if self._options.dask is None and is_url(name):
                    check_store(name, protocols)
                yield name
            else:
                self._there += 1

    def _report(self, name: str, fault: Exception) -> None:
        text = (fault.strerror or str(fault)) if isinstance(fault, OSError) else str(fault)
        self._faults.append(f"{name}: expected to list it; found: {text}")

    def _count(self) -> None:
        """The total for the progress line, if listing twice is cheap."""
        sources = self._options.sources
        if any(map(is_url, sources.names)) or not all(map(_is_regular, sources.lists)):
            return
        again = replace(sources, passed=Passed(), seen=0)
        try:
            self._progress.total = sum(1 for _ in again.list_names(lambda *_: None))
        except (InvalidList, StoreUnusable):
            return  # the run itself tells it

    # ---- here, or in processes

    def _run_here(self, feed: Feed) -> None:
        while not self._must_stop and (names := feed.take(1)):
            self._emit(encode_rows(self._worker.classify(names), self._form))

    def _run_on_input(self) -> None:
        row = self._worker.classify_one(STANDARD_INPUT, lambda: _read_input(self._settings))
        self._emit(encode_rows([row], self._form))

    def _run_processes(self, feed: Feed) -> None:
        # The engine that was found here, or none: workers do not fall back each for itself.
        settings = self._settings.model_copy(update={"engine": self._engine})
        worker = ImageWorker(settings, self._options.top_k, certainty=self._options.certainty)
        pool: WorkerPool | DaskPool
        if self._options.dask is not None:
            pool = DaskPool(self._options.dask, worker, self._form, self._model_id)
        else:
            size = self._options.workers or limit_workers(settings)
            pool = WorkerPool(worker, self._form, size, self._settings.hang_ms / 1000)
        try:
            self._drive(pool, feed)
        finally:
            pool.close()

    def _drive(self, pool: WorkerPool | DaskPool, feed: Feed) -> None:
        submitted = written = 0
        waiting: dict[int, Encoded] = {}
        fault: Exception | None = None
        leave_at: float | None = None
        while True:
            if self._must_stop and leave_at is None:
                leave_at = monotonic() + _LEAVE_SECONDS
            is_open = fault is None and leave_at is None
            while is_open and pool.has_room and submitted - written < _WINDOW * pool.size:
                try:
                    names = feed.take(_BATCH)
                except (InvalidList, StoreUnusable) as raised:
                    fault, is_open = raised, False
                    break
                if not names:
                    break
                pool.submit(submitted, names)
                submitted += 1
            in_work = submitted - written - len(waiting)
            if not in_work and (not is_open or feed.is_over):
                break
            if leave_at is not None and monotonic() > leave_at:
                break
            listens = [feed.descriptor] if is_open else []
            done, readable = pool.wait(_LOOK_SECONDS, listens)
            if readable:
                feed.clear_bell()
            waiting.update(done)
            while written in waiting:
                self._emit(waiting.pop(written))
                written += 1
            self._tell_faults()
            self._progress.show(self._done, self._failed, self._there)
        for number in sorted(waiting):  # behind one that an interruption did not wait for
            self._emit(waiting[number])
        if fault is not None:
            raise fault

    # ---- what comes out

    def _emit(self, rows: Encoded) -> None:
        if self._output is not None:
            self._output.write(rows.data)
        elif rows.data:
            print_bytes(rows.data)
        self._done += rows.rows
        self._failed += rows.failed
        if rows.messages:
            self._progress.clear()
        for message in rows.messages:
            print_error(message)

    def _tell_faults(self) -> None:
        while self._faults:
            self._unlisted += 1
            self._progress.clear()
            print_error(self._faults.popleft())

    def _summarise(self) -> None:
        seconds = monotonic() - self._began
        rate = self._done / max(seconds, 1e-9)
        text = (
            f"{_count(self._done, 'image')} in {seconds:.1f} s ({rate:.1f} a second): "
            f"{self._done - self._failed:,} classified, {self._failed:,} failed"
        )
        if self._there:
            text += f"; {self._there:,} were in {self._options.output} already"
        if self._output is not None and (failed := self._output.failed):
            are = "is an error" if failed == 1 else "are errors"
            text += f"; {failed:,} of its rows {are} (--retry-errors)"
        if self._must_stop:
            text += "; interrupted"
        print_note(text)

    def _find_status(self) -> int:
        if self._must_stop:
            return INTERRUPTED
        sources = self._options.sources
        passed = sources.passed
        if not sources.seen and not self._unlisted:
            others = f", but {passed}" if str(passed) else ""
            print_error(f"expected images; found none{others}")
            return 1
        if str(passed):
            print_note(f"note: passed over {passed}")
        if self._unlisted:
            return 1
        earlier = 0 if self._output is None else self._output.failed
        return 1 if (self._failed or earlier) and not self._options.accept_errors else 0


def _load(worker: ImageWorker) -> tuple[Classifier, int]:
    try:
        classifier, top_k = worker.load()
    except RuntimeFault as fault:
        raise CannotRun(str(fault), 1) from fault
    except InvalidTopK as fault:
        raise CannotRun(f"--top-k: {fault}", 2) from fault
    except NoHierarchy as fault:
        raise CannotRun(str(fault), 2) from fault
    except InvalidCertainty as fault:
        raise CannotRun(f"--certainty: {fault}", 2) from fault
    if not classifier.manifest.trained:
        print_note("note: the model is untrained; its labels mean nothing")
    return classifier, top_k


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _read_input(settings: Settings) -> bytes:
    if sys.stdin is None:  # so Python has it where the descriptor was closed at the start
        raise OSError("expected a standard input; it is closed")
    return sys.stdin.buffer.read(settings.max_body_bytes + 1)


def _is_terminal(stream: object) -> bool:
    return bool(getattr(stream, "isatty", lambda: False)())


def _is_regular(file: str) -> bool:
    try:
        return file != "-" and stat.S_ISREG(os.stat(file).st_mode)
    except OSError:
        return False
