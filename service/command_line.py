"""The command line: runs a command; the exit status says how it went.

What only one command needs is imported for that command alone: the server, the cameras.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from service.arguments import build_parser
from service.commands.commands import (
    check_engine,
    print_configuration,
    print_new_key,
    print_sample_image,
    print_version,
)
from service.messages.logs import configure_logging
from service.messages.output import print_error, run_command
from service.server.notify import Notifier
from service.settings.settings import InvalidSettings, read_settings
from service.system.quick_imports import quick_imports

if TYPE_CHECKING:
    from service.bulk.options import BulkOptions
    from service.watch.watch import WatchOptions


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 for a failure, 2 for wrong usage."""
    return run_command(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    options = build_parser().parse_args(arguments)
    try:
        if options.version:
            return print_version()
        if options.print_config:
            return print_configuration(options.config)
        if options.command == "make-key":
            return print_new_key(options.name, options.rate, options.burst, options.change_models)
        if options.command == "sample-image":
            return print_sample_image()
        if options.command in ("classify", "watch", "self-test"):
            given = {"bundle": options.bundle, "engine": options.engine}
            given = {field: value for field, value in given.items() if value is not None}
            settings = read_settings(options.config, **given)
            if options.command == "watch":
                from service.watch.watch import watch

                configure_logging(settings.log_level, settings.log_format)
                return watch(settings, _read_watch(options))
            configure_logging("warning", "text")
            if options.command == "self-test":
                return check_engine(settings, options.json)
            from service.bulk.run import classify_images

            return classify_images(settings, _read_bulk(options))
        settings = read_settings(options.config)
        with quick_imports():
            from service.server.serve import serve

        return serve(settings)
    except InvalidSettings as fault:
        for line in str(fault).split("\n"):
            print_error(line)
        if options.command in (None, "watch"):
            with closing(Notifier()) as notifier:
                notifier.tell_failure(str(fault))
        return 2


def _read_bulk(options: argparse.Namespace) -> "BulkOptions":
    from service.bulk.options import BulkOptions
    from service.bulk.shards import WHOLE
    from service.bulk.sources import Sources

    return BulkOptions(
        Sources(
            names=tuple(options.names),
            lists=tuple(options.from_file),
            is_recursive=options.recursive,
            by_nul=options.null,
            shard=options.shard or WHOLE,
        ),
        top_k=options.top_k,
        certainty=options.certainty,
        kind="jsonl" if options.json else options.format,
        timed=options.json,
        workers=options.workers,
        output=options.output,
        overwrite=options.overwrite,
        retry_errors=options.retry_errors,
        accept_errors=options.accept_errors,
        dask=options.dask,
    )


def _read_watch(options: argparse.Namespace) -> "WatchOptions":
    from service.watch.watch import WatchOptions

    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return WatchOptions(
        source=options.source,
        every=options.every,
        top_k=options.top_k,
        certainty=options.certainty,
        min_score=options.min_score,
        only_changes=options.only_changes,
        count=options.count,
        post=options.post,
        timeout=options.timeout,
        as_json=options.json or not (options.text or is_terminal),
    )
