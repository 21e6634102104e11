"""service.server.signals: what SIGHUP means, with a real terminal that goes away."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.server.signals import signals_call
from tests.service.servers import ROOT
from tests.service.wire import SECONDS

SCRIPT = """
import signal, sys, time
from service.server.signals import signals_call
with signals_call(lambda number, frame: print(signal.Signals(number).name, flush=True)):
    print("waiting", flush=True)
    time.sleep(float(sys.argv[1]))
"""


def test_inside_they_call_and_afterwards_all_is_as_before() -> None:
    caught: list[int] = []
    before = [signal.getsignal(by) for by in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    with signals_call(lambda number, _: caught.append(number)):
        for by in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(by)
    assert caught == [signal.SIGHUP, signal.SIGINT, signal.SIGTERM]
    assert before == [signal.getsignal(by) for by in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]


@pytest.mark.parametrize(
    ("is_ignored", "meaning"), [(False, "SIGTERM"), (True, "SIGHUP")], ids=["plain", "nohup"]
)
def test_a_terminal_that_is_gone(tmp_path: Path, is_ignored: bool, meaning: str) -> None:
    """Who was started with nohup lives on, and takes SIGHUP for what it is."""
    output = tmp_path / "output"
    child, terminal = pty.fork()
    if not child:  # in a session of its own, whose terminal that is
        if is_ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        descriptor = os.open(output, os.O_CREAT | os.O_WRONLY, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-c", SCRIPT, "2"])
    wait_until(output, "waiting")
    os.close(terminal)  # the kernel sends SIGHUP to the session's leader
    wait_until(output, meaning)
    os.waitpid(child, 0)
    assert output.read_text().splitlines() == ["waiting", meaning]


def test_without_a_terminal_it_is_about_the_models(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=SECONDS)[0] == "SIGHUP\n"


def wait_until(output: Path, text: str) -> None:
    """Returns when the text is there; it must come to be."""
    from tests.service.servers import wait_for

    wait_for(lambda: output.is_file() and text in output.read_text(), text)
