"""Peers in real child processes: answers, and every way in which one can fail."""

import os
import sys
from pathlib import Path

import pytest

from runtime.bench import peer_process
from runtime.bench.peer_process import PeerProcess
from runtime.errors import RuntimeFault
from runtime.measurement.timing import take_turns

HEAD = '''"""A peer for tests."""
import os, sys, time

def open_peer(options):
'''


def write_peer(folder: Path, *lines: str) -> str:
    """A peer module whose open_peer has these lines; its path."""
    path = folder / "peer.py"
    path.write_text(HEAD + "".join(f"    {line}\n" for line in lines))
    return str(path)


def start(module: str, **options: object) -> PeerProcess:
    return PeerProcess(sys.executable, module, options, seconds=30, call_seconds=30)


def test_peer_answers_on_command(tmp_path: Path) -> None:
    module = write_peer(
        tmp_path,
        "print('a library that talks')",
        "return {'version': options['wanted']}, {'run': lambda: None,",
        "    'parts': lambda: {'whole': 2.0, 'inner': 1.0}}",
    )
    with start(module, wanted="1.2") as peer:
        assert peer.facts == {"version": "1.2"}
        assert len(peer.time("run", 3)["whole"]) == 3
        assert peer.time("parts", 2) == {"whole": [2.0, 2.0], "inner": [1.0, 1.0]}
        seconds, failures = take_turns({"peer": peer.timer("run")}, 3, len)  # type: ignore[arg-type]
        assert len(seconds["peer"]) == 3
        assert failures == {}


def test_peer_that_cannot_start_says_why(tmp_path: Path) -> None:
    module = write_peer(tmp_path, "import no_such_package")
    with pytest.raises(RuntimeFault, match="ModuleNotFoundError: No module named 'no_such_package"):
        start(module)


def test_module_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFault, match=r"expected a peer module, found no file .*nothing\.py"):
        start(str(tmp_path / "nothing.py"))


def test_interpreter_that_is_missing_is_named(tmp_path: Path) -> None:
    python = str(tmp_path / "python")
    with pytest.raises(RuntimeFault, match=r"expected an interpreter for x, but .*does not start"):
        PeerProcess(python, "x", {})


def test_interpreter_that_is_none_is_an_error() -> None:
    with pytest.raises(RuntimeFault, match="x failed: its process ended with 0 and said nothing"):
        PeerProcess("/bin/true", "x", {})


def test_call_that_fails_leaves_the_peer_alive(tmp_path: Path) -> None:
    module = write_peer(tmp_path, "return {}, {'bad': lambda: 1 / 0, 'good': lambda: None}")
    with start(module) as peer:
        with pytest.raises(RuntimeFault, match="failed: ZeroDivisionError: division by zero"):
            peer.time("bad", 1)
        with pytest.raises(RuntimeFault, match="KeyError: 'unknown'"):
            peer.time("unknown", 1)
        assert len(peer.time("good", 1)["whole"]) == 1


def test_peer_that_dies_is_quoted(tmp_path: Path) -> None:
    module = write_peer(
        tmp_path,
        "def die():",
        "    sys.stderr.write('illegal instruction')",
        "    sys.stderr.flush()",
        "    os._exit(5)",
        "return {}, {'die': die}",
    )
    with start(module) as peer:
        with pytest.raises(RuntimeFault, match=r"ended with 5: \.\.\.illegal instruction"):
            peer.time("die", 1)
        with pytest.raises(RuntimeFault, match="its process ended with 5"):
            peer.time("die", 1)


def test_peer_that_dies_between_commands_is_noticed(tmp_path: Path) -> None:
    module = write_peer(tmp_path, "return {}, {'run': lambda: None}")
    with start(module) as peer:
        peer._process.terminate()
        peer._process.wait()
        with pytest.raises(RuntimeFault, match="its process ended with -15"):
            peer.time("run", 1)


def test_peer_that_hangs_is_ended(tmp_path: Path) -> None:
    module = write_peer(tmp_path, "return {}, {'hang': lambda: time.sleep(600)}")
    with (
        PeerProcess(sys.executable, module, {}, call_seconds=0.2) as peer,
        pytest.raises(RuntimeFault, match=r"expected an answer within 0\.2 s, found none"),
    ):
        peer.time("hang", 1)


def test_peer_that_ignores_the_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_process, "CLOSE_SECONDS", 0.1)
    module = write_peer(
        tmp_path,
        "import atexit",
        "atexit.register(time.sleep, 600)",
        "return {}, {}",
    )
    peer = start(module)
    peer.close()
    assert peer._process.returncode == -9


def test_foreign_interpreter_does_not_see_our_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "ours")
    module = write_peer(tmp_path, "return {'path': os.environ.get('PYTHONPATH')}, {}")
    with start(module) as peer:
        assert peer.facts == {"path": "ours"}
    other = tmp_path / "python"
    os.symlink(sys.executable, other)
    with PeerProcess(str(other), module, {}) as peer:
        assert peer.facts == {"path": None}
