"""Drives POST /classify: locust -f loadtests/locustfile.py --headless -u 4 -t 60s.

Closed loop (users wait for their answers) or open loop (--loop open --rate 20: requests leave at
intended times, and latencies count from then), with --shape step, spike, soak or ramp. Images are
made or read before the clock starts, and each body is built once. Thresholds set the exit status;
no answer at all is a failure. Latencies in Locust's tables are rounded to two digits; the report at
the end has them as measured, and the service's own split of the time, from its answers' headers.

A distributed closed loop is judged by its master; each worker prints its own service timings.
"""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner

from loadtests.command_line.options import WRONG_USAGE, raise_descriptor_limit
from loadtests.errors import ServerFault, WrongUsage
from loadtests.users import shapes  # a shape among the names here would be used by Locust
from loadtests.users.open_loop import run_open_loop
from loadtests.users.options import (
    add_help_option,
    add_image_options,
    add_load_options,
    add_threshold_options,
    build_payloads,
    check_distributed,
)
from loadtests.users.reporting import build_report
from loadtests.users.schedule import start_clock
from loadtests.users.sending import send
from loadtests.users.session import Session
from loadtests.users.tally import Tally
from loadtests.users.thresholds import choose_limits

HOST = "http://127.0.0.1:8000"
MESSAGE = "loadtests"  # the key of a worker's message that has its tally
PAUSE_SECONDS = 0.1  # after a request without an answer: who refuses is not asked in a hot loop


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    """What can be chosen besides Locust's own options."""
    add_help_option(parser)
    add_load_options(parser)
    add_image_options(parser)
    add_threshold_options(parser)


@events.init.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    """Makes or reads all images before a test and its clock are started."""
    options, runner = environment.parsed_options, environment.runner
    assert options is not None, "Locust parses its command line first"
    raise_descriptor_limit()
    try:
        check_distributed(options, isinstance(runner, MasterRunner | WorkerRunner))
        # By a master too, though it sends none: workers count as ready before they have theirs, and
        # so it begins when they have them.
        payloads = build_payloads(options, environment.host or HOST)
        session = Session(options, choose_limits(options), payloads)
    except (WrongUsage, FileNotFoundError, ServerFault) as fault:
        print(f"error: {fault}", file=sys.stderr)
        sys.exit(WRONG_USAGE)
    ClassifyUser.session = session
    if session.is_open and options.num_users:
        print("note: -u says nothing in an open loop; --rate does", file=sys.stderr)
    if not isinstance(runner, WorkerRunner) and (shape := shapes.choose_shape(session)):
        shape.runner = runner
        environment.shape_class = shape
    start_clock()


@events.test_start.add_listener
def begin(environment: Environment, **_: Any) -> None:
    """A test that is started anew, as the web page can, has figures of its own.

    Where a shape chooses the number of users, it has done this: its first tick came before.
    """
    if environment.shape_class is None or ClassifyUser.session.is_open:
        ClassifyUser.session.begin()


@events.reset_stats.add_listener
def forget_warm_up() -> None:
    """Follows Locust's --reset-stats."""
    ClassifyUser.session.forget_warm_up()


@events.report_to_master.add_listener
def send_tally(data: dict[str, Any], **_: Any) -> None:
    """A worker's message has what it found since the last one."""
    data[MESSAGE] = ClassifyUser.session.hand_over().hand_over()


@events.worker_report.add_listener
def take_tally(data: dict[str, Any], **_: Any) -> None:
    """The master has what all workers found."""
    if MESSAGE in data:
        ClassifyUser.session.take_in(Tally.take_over(data[MESSAGE]))


@events.test_stop.add_listener
def end(environment: Environment, **_: Any) -> None:
    """With the web page, each test has its report when it stops."""
    ClassifyUser.session.end()
    options = environment.parsed_options
    assert options is not None, "Locust parses its command line first"
    if not options.headless and not isinstance(environment.runner, WorkerRunner):
        write_report(environment)


@events.quitting.add_listener
def finish(environment: Environment, **_: Any) -> None:
    """Prints timings and report, and sets the exit status."""
    session = ClassifyUser.session
    if not isinstance(environment.runner, MasterRunner):
        print(session.timings.format_table(), file=sys.stderr)
        if session.options.timings_json:
            text = json.dumps(session.timings.summarize(), indent=2)
            Path(session.options.timings_json).write_text(text + "\n")
    if not isinstance(environment.runner, WorkerRunner):
        environment.process_exit_code = write_report(environment)


def write_report(environment: Environment) -> int:
    """On the standard error stream, as Locust's --json has the other; returns the exit status."""
    session = ClassifyUser.session
    report = build_report(session)
    status = report.write(
        Path(session.options.report_json) if session.options.report_json else None,
        Path(session.options.markdown) if session.options.markdown else None,
        sys.stderr,
    )
    if not report.data["total"]["latency"]["count"]:
        print("error: expected answers, found none; is the time (-t) too short?", file=sys.stderr)
    for reason in report.unfit:
        print(f"error: not a measurement: {reason}", file=sys.stderr)
    if environment.runner is not None and environment.runner.exceptions:
        return status or 1  # a fault of a user's own code, which Locust has printed
    return status


class ClassifyUser(FastHttpUser):
    """A client that sends one image after another, or all those of an open loop."""

    host = HOST
    concurrency = 100_000  # connections of one user: the client's pool is never the limit
    session: Session

    @task
    def classify(self) -> None:
        """The next image, or the whole open loop."""
        if self.session.is_open:
            self.run_schedule()
        session = self.session
        if not send(self.client, next(session.payloads), session.tally, session.timings):
            gevent.sleep(PAUSE_SECONDS)
        session.note_end()

    def run_schedule(self) -> None:
        """The open loop, once. Raises StopUser."""
        try:
            run_open_loop(self.session, self.client)
        finally:
            shape = self.environment.shape_class
            if isinstance(shape, shapes.OneUser):
                shape.is_over = True
        raise StopUser
