"""runtime.engines.graph_file: a graph's file tells nothing of the machine that wrote it."""

from pathlib import Path
from zipfile import BadZipFile, ZipFile

import pytest

from runtime.engines.graph_file import copy_graph


def write_archive(path: Path, origin: bytes) -> Path:
    """As torch.jit.save does, from a checkout at `origin`."""
    with ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"the graph")
        archive.writestr("model/code/__torch__/runtime/layers.py", b"its code")
        archive.writestr("model/code/__torch__/runtime/layers.py.debug_pkl", origin)
        archive.writestr("model/.data/serialization_id", origin[::-1])
    return path


def test_equal_graphs_are_equal_files_wherever_they_were_written(tmp_path: Path) -> None:
    written = []
    for origin in (b"/home/me/checkout/runtime/layers.py", b"/srv/other/runtime/layers.py"):
        copy_graph(write_archive(tmp_path / "given", origin), tmp_path / "written")
        written.append((tmp_path / "written").read_bytes())
    assert written[0] == written[1]
    assert b"checkout" not in written[0]
    with ZipFile(tmp_path / "written") as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert contents == {
        "model/data.pkl": b"the graph",
        "model/code/__torch__/runtime/layers.py": b"its code",
    }


def test_what_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / "given").write_bytes(b"no archive")
    with pytest.raises(BadZipFile):
        copy_graph(tmp_path / "given", tmp_path / "written")
