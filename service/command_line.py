"""The command line: what was asked for is done, and the status tells how it went."""

from collections.abc import Sequence

from service.arguments import build_parser
from service.commands import (
    check_engine,
    classify_files,
    print_configuration,
    print_new_key,
    print_version,
)
from service.logs import configure_logging
from service.output import print_error, run_command
from service.serve import serve
from service.settings import InvalidSettings, read_settings


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
            return print_new_key(options.name, options.rate, options.burst)
        if options.command in ("classify", "self-test"):
            given = {"bundle": options.bundle, "engine": options.engine}
            given = {field: value for field, value in given.items() if value is not None}
            settings = read_settings(options.config, **given)
            configure_logging("warning", "text")
            if options.command == "self-test":
                return check_engine(settings, options.json)
            return classify_files(settings, options.files, options.top_k, options.json)
        return serve(read_settings(options.config))
    except InvalidSettings as fault:
        for line in str(fault).split("\n"):
            print_error(line)
        return 2
