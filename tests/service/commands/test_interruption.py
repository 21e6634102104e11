"""service.commands.interruption: the first signal is a wish, a later one ends the process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.commands.interruption import interruption_calls

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_calls_once(by: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    calls: list[None] = []
    with interruption_calls(lambda: calls.append(None)):
        os.kill(os.getpid(), by)
        os.kill(os.getpid(), signal.SIGTERM)
    assert len(calls) == 1, "the same wish, told twice"
    assert {each: signal.getsignal(each) for each in before} == before


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_later_signal_ends_the_process_without_a_traceback(by: signal.Signals) -> None:
    program = (
        "import os, time\n"
        "from service.commands import interruption\n"
        "interruption._SAME_WISH_SECONDS = 0.0\n"
        "with interruption.interruption_calls(lambda: print('called', flush=True)):\n"
        f"    for _ in range(2): os.kill(os.getpid(), {int(by)})\n"
        "    time.sleep(3600)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (-by, "called\n", "")
