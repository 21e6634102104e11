"""The options of a bulk run, their checks, and what follows from them."""

import sys
from dataclasses import dataclass
from pathlib import Path

from service.bulk.forms import Kind, RowForm
from service.bulk.sources import Sources
from service.classification.classifier import Classifier
from service.messages.output import print_note
from service.settings.settings import Settings

#: The name that stands for one image from standard input.
STANDARD_INPUT = "-"
_PARENT_BYTES = 96 * 2**20
_WORKER_BYTES = 128 * 2**20


@dataclass(frozen=True)
class BulkOptions:
    """The options of the command line; None if not given."""

    sources: Sources
    top_k: int | None = None
    certainty: float | None = None  # of a hedged answer
    kind: Kind | None = None
    timed: bool = False
    workers: int | None = None
    output: Path | None = None
    overwrite: bool = False
    retry_errors: bool = False
    accept_errors: bool = False  # rows of errors do not change the status
    dask: str | None = None  # address of a scheduler, whose workers do the work


class CannotRun(Exception):
    """The run cannot begin or continue; `status` is its exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def check_options(options: BulkOptions) -> None:
    """Raises CannotRun if options contradict each other."""
    sources = options.sources
    if not sources.names and not sources.lists:
        raise CannotRun("expected files, folders, URLs or --from-file; found none", 2)
    if STANDARD_INPUT in sources.names and (len(sources.names) > 1 or sources.lists):
        raise CannotRun(
            "-: expected it alone, for one image from standard input; found other names beside "
            "it. --from-file - reads names from there",
            2,
        )
    if sources.by_nul and not sources.lists:
        raise CannotRun("-0: expected a list, --from-file LIST; found none", 2)
    overlap = sources.find_overlap() if sources.shard.count > 1 else None
    if overlap is not None:
        raise CannotRun(
            "--shard: expected folders and files that lie apart, since a name below a folder tells "
            f"its shard; found {overlap[1]} in {overlap[0]}. Leave out the former.",
            2,
        )
    if options.dask is not None and (STANDARD_INPUT in sources.names or options.workers):
        raise CannotRun(
            "--dask: expected names that its workers can read, and no --workers; found - or "
            "--workers",
            2,
        )
    if options.output is None:
        if options.overwrite or options.retry_errors:
            raise CannotRun("--overwrite and --retry-errors: expected --output FILE; found none", 2)
        return
    if options.kind == "text":
        raise CannotRun("--output: expected --format jsonl or csv; found text", 2)
    if STANDARD_INPUT in sources.names:
        raise CannotRun("--output: expected names that a later run finds again; found -", 2)


def choose_form(options: BulkOptions, top_k: int, has_known: bool = False) -> RowForm:
    """The form of the rows, in the encoding of their destination."""
    kind: Kind = options.kind or "text"
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    if options.output is not None:
        encoding = "utf-8"
        if options.kind is None:
            kind = "csv" if options.output.suffix.lower() == ".csv" else "jsonl"
    has_hedged = options.certainty is not None
    return RowForm(kind, top_k, encoding, options.timed, has_known, has_hedged)


def describe_making(
    classifier: Classifier, form: RowForm, options: BulkOptions, settings: Settings
) -> dict[str, object]:
    """Everything that changes rows: all rows of a file are made alike."""
    return {
        "model": classifier.manifest.name,
        "model_id": classifier.model_id,
        "engine": classifier.engine.name,
        "format": form.kind,
        "timed": form.timed,
        "top_k": form.top_k,
        **({} if options.certainty is None else {"certainty": options.certainty}),
        "shard": str(options.sources.shard),
        "max_body_bytes": settings.max_body_bytes,
        "max_pixels": settings.max_pixels,
        "max_scans": settings.max_scans,
    }


def limit_workers(settings: Settings) -> int:
    """The usable CPUs, or fewer if memory is short."""
    room = max(1, (settings.memory_budget - _PARENT_BYTES) // _WORKER_BYTES)
    if room < settings.workers:
        workers = f"{room} worker{'' if room == 1 else 's'}, not {settings.workers}"
        print_note(
            f"note: {workers}: for more there is no memory (BNN_MEMORY_BUDGET); --workers says "
            "another number"
        )
    return min(settings.workers, room)
