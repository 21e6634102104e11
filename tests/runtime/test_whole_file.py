"""runtime.whole_file: the old file or the new one, never a part, and nothing beside them."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.whole_file import write_whole


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    for content in (b"old", b"new"):
        with write_whole(path) as stream:
            stream.write(content)
            assert not path.exists() or path.read_bytes() == b"old"
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b"old")

    def write() -> None:
        with write_whole(path) as stream:
            stream.write(b"half")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_process_leaves_the_old_file(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b"old")
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from runtime.whole_file import write_whole\n"
        "with write_whole(Path(sys.argv[1])) as stream:\n"
        "    stream.write(b'half'); stream.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(path)], cwd=repository, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


def test_the_file_and_its_name_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that cannot be synchronised is none of our business; another fault is."""
    synced: list[str] = []
    faults = [errno.EINVAL, errno.EIO]

    def sync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        if len(synced) % 2 == 0:
            raise OSError(faults.pop(0), "no")

    monkeypatch.setattr(os, "fsync", sync)
    path = tmp_path / "file"
    with write_whole(path) as stream:
        stream.write(b"new")
    assert synced == [str(tmp_path / ".file.partial"), str(tmp_path)]
    with pytest.raises(OSError, match="no"), write_whole(path):
        pass
