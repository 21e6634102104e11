"""The options of every tool: which service, on which CPUs, where results go."""

import argparse
import asyncio
import os
import resource
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtests.errors import ServerFault, WrongUsage
from loadtests.servers.server import ServerSpec, describe_this_service, parse_service, run_on

WRONG_USAGE = 2


def make_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser with the options that all tools share."""
    parser = argparse.ArgumentParser(
        prog=f"python -m loadtests.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="exit status: 0 all thresholds held, 1 one did not, 2 wrong usage or the service "
        "did not start, 3 the generator was the limit: the figures mean nothing",
    )
    group = parser.add_argument_group("service and results")
    group.add_argument(
        "--service",
        action="append",
        default=[],
        metavar="NAME=PYTHON:DIR",
        help="interpreter and source tree of a service (default: this one); may be repeated to "
        "compare services",
    )
    group.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="VARIABLE=VALUE",
        help="environment of every service, such as BNN_ENGINE=native; may be repeated",
    )
    group.add_argument(
        "--server-cpus",
        type=parse_cpus,
        metavar="N,N",
        help="CPUs of the server (default: the first)",
    )
    group.add_argument(
        "--client-cpus",
        type=parse_cpus,
        metavar="N,N",
        help="CPUs of the generator (default: the others)",
    )
    group.add_argument("--json", type=parse_result, metavar="FILE", help="write the figures here")
    group.add_argument(
        "--markdown", type=parse_result, metavar="FILE", help="write the report here"
    )
    return parser


def parse_cpus(text: str) -> tuple[int, ...]:
    """`0` or `0,2`; for argparse."""
    try:
        cpus = tuple(int(item) for item in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected CPUs as 0 or 0,2; found {text!r}") from None
    if missing := sorted(set(cpus) - os.sched_getaffinity(0)):
        raise argparse.ArgumentTypeError(
            f"expected CPUs out of {sorted(os.sched_getaffinity(0))}; found {missing} in {text!r}"
        )
    return cpus


def parse_result(text: str) -> Path:
    """A result file in a folder that exists and can be written; for argparse."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(
            f"expected a file in a folder that can be written to; found {text!r}. Make the folder, "
            "or name another"
        )
    return path


def parse_positive(text: str) -> float:
    """A number above 0; for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0; found {text!r}")
    return value


def parse_count(text: str) -> int:
    """A whole number from 1 on; for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on; found {text!r}")
    return int(text)


def choose_cpus(options: argparse.Namespace) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """CPUs of the server and of the generator: different ones, if there are two.

    They are written into the options, too, for the record.
    """
    usable = sorted(os.sched_getaffinity(0))
    server = options.server_cpus or (usable[0],)
    client = options.client_cpus or tuple(cpu for cpu in usable if cpu not in server) or server
    options.server_cpus, options.client_cpus = server, client
    return server, client


def parse_environment(items: Sequence[str]) -> dict[str, str]:
    """VARIABLE=VALUE, many. Raises WrongUsage."""
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not (name and equals):
            raise WrongUsage(f"expected VARIABLE=VALUE, as BNN_ENGINE=native, found {item!r}")
        found[name] = value
    return found


def choose_services(
    options: argparse.Namespace, environment: Mapping[str, str] | None = None
) -> list[ServerSpec]:
    """The services of the command line, this source tree's if it names none. Raises WrongUsage."""
    variables = {**(environment or {}), **parse_environment(options.env)}
    specs = [parse_service(text, variables) for text in options.service]
    if len({spec.name for spec in specs}) < len(specs):
        raise WrongUsage("expected a name of its own for each --service, found one twice")
    return specs or [describe_this_service(variables)]


def choose_service(
    options: argparse.Namespace, environment: Mapping[str, str] | None = None
) -> ServerSpec:
    """The one service of a tool that compares none. Raises WrongUsage."""
    specs = choose_services(options, environment)
    if len(specs) > 1:
        raise WrongUsage("expected one --service, found several; run the tool once for each")
    return specs[0]


def describe_options(options: argparse.Namespace) -> dict[str, Any]:
    """The options for the record, without the names of result files."""
    return {
        name: _make_plain(value)
        for name, value in sorted(vars(options).items())
        if name not in {"json", "markdown", "plot"}
    }


def _make_plain(value: object) -> object:
    """As JSON has it: paths become texts."""
    if isinstance(value, list | tuple):
        return [_make_plain(item) for item in value]
    return value if isinstance(value, str | int | float | None) else str(value)


def run_tool(tool: Callable[[], Coroutine[Any, Any, int]], client_cpus: Sequence[int]) -> int:
    """Runs a tool on its CPUs; turns what is wrong with its arguments or servers into a message."""
    raise_descriptor_limit()
    try:
        with run_on(client_cpus):
            return asyncio.run(tool())
    except (WrongUsage, FileNotFoundError, ServerFault) as fault:
        print(f"error: {fault}", file=sys.stderr)
        return WRONG_USAGE


def raise_descriptor_limit() -> None:
    """As many connections as the system allows this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
