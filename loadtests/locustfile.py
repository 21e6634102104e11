"""Drives POST /classify: locust -f loadtests/locustfile.py --headless -u 4 -t 60s [--photos DIR].

Pictures are made or read before the clock starts, and each multipart body is built once. Every
answer but 200 counts as a failure; any failure, and no answer at all, make the exit status 1.
Latencies are locust's;
the service's own split of the time, from its answers' headers, is printed at the end and written to
--timings-json FILE. Each worker of a distributed run prints its own.

Users wait for their answers (a closed loop): a stalled service is asked less, so that its worst
latencies are understated.
"""

import itertools
import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from locust import FastHttpUser, events, task
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.images import CONTENT_TYPE, generate_pictures, read_photos
from loadtests.timings import StageTimings

TIMINGS = StageTimings()


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    """What can be chosen besides locust's own options."""
    group = parser.add_argument_group("pictures of the load test")
    group.add_argument("--photos", default="", metavar="DIR", help="send these instead")
    group.add_argument("--picture-seed", type=int, default=1, help="of the generated pictures")
    group.add_argument("--picture-count", type=int, default=9, help="generated pictures")
    group.add_argument("--top-k", type=int, default=5, help="classes to ask for")
    group.add_argument("--timings-json", default="", metavar="FILE", help="timings, as JSON")


@events.init.add_listener
def load_pictures(environment: Environment, **_: Any) -> None:
    """Makes or reads all pictures before a test and its clock are started."""
    options = _get_options(environment)
    pictures = (
        read_photos(Path(options.photos))
        if options.photos
        else generate_pictures(options.picture_seed, options.picture_count)
    )
    ClassifyUser.bodies = itertools.cycle([picture.body for picture in pictures])
    ClassifyUser.path = f"/classify?top_k={options.top_k}"


@events.test_start.add_listener
def forget_last_test(**_: Any) -> None:
    """A test that is started anew, as the web page can, has timings of its own."""
    TIMINGS.clear()


@events.reset_stats.add_listener
def forget_warm_up() -> None:
    """Follows locust's --reset-stats."""
    TIMINGS.clear()


@events.quitting.add_listener
def report_timings(environment: Environment, **_: Any) -> None:
    """Prints the service's timings, and writes them where asked."""
    print(TIMINGS.format_table(), file=sys.stderr)
    options = _get_options(environment)
    if options.timings_json:
        Path(options.timings_json).write_text(json.dumps(TIMINGS.summarize(), indent=2) + "\n")


@events.quitting.add_listener
def fail_without_answers(environment: Environment, **_: Any) -> None:
    """A test in which nothing was answered has shown nothing."""
    if isinstance(environment.runner, WorkerRunner) or environment.stats.total.num_requests:
        return
    print("error: expected answers, found none; is the time (-t) too short?", file=sys.stderr)
    environment.process_exit_code = 1


def _get_options(environment: Environment) -> Namespace:
    assert environment.parsed_options is not None, "locust parses its command line first"
    options: Namespace = environment.parsed_options
    return options


class ClassifyUser(FastHttpUser):
    """A client that sends one picture after another."""

    host = "http://127.0.0.1:8000"
    bodies: "itertools.cycle[bytes]"
    path: str

    @task
    def classify(self) -> None:
        """One picture. locust counts connection faults and statuses from 400 on as failures."""
        with self.client.post(
            self.path,
            name="/classify",
            data=next(self.bodies),  # type: ignore[arg-type] # bytes pass, whatever it declares
            headers={"Content-Type": CONTENT_TYPE},
            catch_response=True,
        ) as response:
            if response.status_code == 200:
                TIMINGS.record(response.headers.items())
            elif response.status_code and response.status_code < 400:
                response.failure(f"expected status 200, found {response.status_code}")
