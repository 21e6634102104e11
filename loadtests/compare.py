"""Compares two services: locust -f loadtests/compare.py --headless --first URL --second URL.

Both get the same images in turns, in the order A B B A, and only one is loaded at a time. The
report has latencies, images a second, CPU seconds an image and resident memory, as each service's
own /metrics tells them, and the ratio of the two; it names what each serves. -u is the number of
clients, each of which waits for its answers (2). Thresholds on ratios set the exit status.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, events, task
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests.clients.metrics import read_metrics
from loadtests.command_line.options import (
    WRONG_USAGE,
    parse_count,
    parse_positive,
    raise_descriptor_limit,
)
from loadtests.errors import ServerFault, WrongUsage
from loadtests.users import shapes  # a shape among the names here would be used by Locust
from loadtests.users.options import (
    add_help_option,
    add_image_options,
    add_result_options,
    build_payloads,
)
from loadtests.users.payloads import Payload
from loadtests.users.schedule import start_clock
from loadtests.users.sending import send
from loadtests.users.services import read_info
from loadtests.users.turns import Director, Turn
from loadtests.users.versus import SIDES, build_report

FIRST, SECOND = "http://127.0.0.1:8000", "http://127.0.0.1:8001"  # as compose.yaml has them
CLIENTS = 2
PAUSE_SECONDS = 0.1  # after a request without an answer


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    """What can be chosen besides Locust's own options."""
    add_help_option(parser)
    group = parser.add_argument_group("two services")
    group.add_argument("--first", default=FIRST, metavar="URL", help=f"the first service ({FIRST})")
    group.add_argument(
        "--second", default=SECOND, metavar="URL", help=f"the second service ({SECOND})"
    )
    group.add_argument(
        "--rounds", type=parse_count, default=4, help="number of rounds, a turn of each service (4)"
    )
    group.add_argument(
        "--turn-seconds",
        type=parse_positive,
        default=10.0,
        help="seconds of a turn, which ends with the current pass (10)",
    )
    group.add_argument(
        "--warm-up-seconds",
        type=parse_positive,
        default=3.0,
        help="seconds of warm-up of each service, not counted (3)",
    )
    add_image_options(parser, ("form", "bare"))
    group = parser.add_argument_group(
        "thresholds and results",
        "Ratios are first / second, by their median. Exit status: 0 all held, 1 one did not or "
        "nothing was answered, 2 wrong usage or no service, 3 the generator was the limit.",
    )
    for name in ("cpu", "memory", "p50", "p99"):
        group.add_argument(
            f"--max-{name}-ratio",
            type=parse_positive,
            metavar="N",
            help="max ratio, first / second",
        )
    group.add_argument(
        "--min-rate-ratio", type=parse_positive, metavar="N", help="min ratio, first / second"
    )
    group.add_argument(
        "--max-failures",
        type=float,
        default=0.0,
        metavar="N",
        help="max percentage of failed requests (0)",
    )
    group.add_argument(
        "--max-generator-cpu",
        type=float,
        default=70.0,
        metavar="N",
        help="max percentage of a CPU (70)",
    )
    add_result_options(group)


@events.init.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    """Asks both services what they serve, and makes or reads all images."""
    options, runner = environment.parsed_options, environment.runner
    assert options is not None, "Locust parses its command line first"
    raise_descriptor_limit()
    try:
        if isinstance(runner, MasterRunner | WorkerRunner):
            raise WrongUsage(
                "expected one process, which gives both services their turns; found --master, "
                "--worker or --processes; leave them out"
            )
        if environment.host:
            raise WrongUsage("expected --first URL --second URL, found --host")
        addresses = [options.first.rstrip("/"), options.second.rstrip("/")]
        CompareUser.infos = [read_info(address) for address in addresses]
        payloads = build_payloads(options, addresses[0])
    except (WrongUsage, FileNotFoundError, ServerFault) as fault:
        print(f"error: {fault}", file=sys.stderr)
        sys.exit(WRONG_USAGE)
    CompareUser.addresses = addresses
    CompareUser.director = Director(
        payloads,
        lambda side: read_metrics(addresses[side]),
        *(options.rounds, options.turn_seconds, options.warm_up_seconds),
    )
    if options.num_users is None:
        options.num_users = CLIENTS
    shape = shapes.UsersUntil(options, CompareUser.director)
    shape.runner = runner
    environment.shape_class = shape
    start_clock()


@events.test_start.add_listener
def begin(environment: Environment, **_: Any) -> None:
    """The turns begin when the users wait for them."""
    assert environment.runner is not None
    environment.runner.greenlet.spawn(CompareUser.director.run)


@events.test_stop.add_listener
def end(environment: Environment, **_: Any) -> None:
    """With the web page, each test has its report when it stops."""
    if environment.parsed_options is not None and not environment.parsed_options.headless:
        write_report(environment)


@events.quitting.add_listener
def finish(environment: Environment, **_: Any) -> None:
    """Prints the report, and sets the exit status."""
    environment.process_exit_code = write_report(environment)


def write_report(environment: Environment) -> int:
    """On the standard error stream, as Locust's --json has the other; returns the exit status."""
    options = environment.parsed_options
    assert options is not None, "Locust parses its command line first"
    names = ("num_users", "rounds", "turn_seconds", "sizes", "photos", "image_seed", "send")
    report = build_report(
        CompareUser.director.turns,
        CompareUser.infos,
        CompareUser.addresses,
        options,
        {name: getattr(options, name) for name in names},
        CompareUser.director.planned,
    )
    if CompareUser.director.fault:
        print(f"error: {CompareUser.director.fault}", file=sys.stderr)
    status = report.write(
        Path(options.report_json) if options.report_json else None,
        Path(options.markdown) if options.markdown else None,
        sys.stderr,
    )
    if environment.runner is not None and environment.runner.exceptions:
        return status or 1  # a fault of a user's own code, which Locust has printed
    return status


class CompareUser(FastHttpUser):
    """A client of whichever service has its turn."""

    host = FIRST
    concurrency = 100_000
    director: Director
    addresses: list[str]
    infos: list[Any]

    @task
    def classify(self) -> None:
        """Its part in a turn."""
        self.director.join_turn(self.send, PAUSE_SECONDS)
        gevent.sleep(0)

    def send(self, turn: Turn, payload: Payload) -> bool:
        """One image to the service that has its turn."""
        address, prefix = self.addresses[turn.side], f"{SIDES[turn.side]} "
        return send(self.client, payload, turn.tally, address=address, prefix=prefix)
