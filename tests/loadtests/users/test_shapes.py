"""Locust's shapes, in a process of their own: importing Locust patches the whole interpreter."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from argparse import Namespace
from types import SimpleNamespace
from loadtests.users import shapes
from loadtests.users.session import Session
from loadtests.users.thresholds import Limits

def session(shape, loop="closed"):
    options = Namespace(
        loop=loop, shape=shape, num_users=10, run_time=100, stage_seconds=20, ramp_factor=1.5
    )
    return Session(options, Limits(max_generator_cpu=1e9), [])

def walk(shape, moments):
    shape.reset_time()
    for moment in moments:
        shape.get_run_time = lambda: moment
        yield shape.tick()

one = shapes.choose_shape(session("steady", "open"))
assert list(walk(one, [0, 5])) == [(1, 1.0)] * 2
one.is_over = True
assert one.tick() is None
assert shapes.choose_shape(session("steady")) is None

step = session("step")
users = [tick and tick[0] for tick in walk(shapes.choose_shape(step), [0, 5, 25, 45, 65, 99, 101])]
assert users == [2, 2, 4, 6, 8, 10, None], users
assert len(step.stages) == 5
spike = [tick and tick[0] for tick in walk(shapes.choose_shape(session("spike")), [0, 50, 70])]
assert spike == [10, 50, 10], spike

ramp = session("ramp")
found = []
for tick in walk(shapes.choose_shape(ramp), [0, 19, 20, 39, 40, 41]):
    found.append(tick and tick[0])
    if len(ramp.stages) < 3:
        ramp.tally.latency.append(0.1)
    else:
        ramp.tally.refused["429"] += 1
assert found == [10, 10, 15, 15, 22, 22], found
shape = shapes.choose_shape(ramp)
shape.get_run_time = lambda: 61
shape._began = 40
assert shape.tick() is None
assert (ramp.ramp.knee, ramp.ramp.broken) == (15, 22)

director = SimpleNamespace(is_over=True, reset=lambda: setattr(director, "is_over", False))
both = shapes.UsersUntil(Namespace(num_users=3), director)
assert list(walk(both, [0])) == [(3, 100.0)]
director.is_over = True
assert both.tick() is None
print("fine")
"""


def test_users_over_time(repository: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.stdout == "fine\n", answer.stderr
