"""service.memory: the kernel's figures, how often they are read, and what decoding does to them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtime.preprocess import DECODING_BYTES_PER_PIXEL
from service.memory import MemoryReader, read_machine_memory, read_memory


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_reads_this_process() -> None:
    memory = read_memory()
    assert memory.keys() == {"rss", "pss", "anonymous", "peak"}
    assert 2**20 < memory["pss"] <= memory["rss"] <= memory["peak"] + 2**20
    assert memory["anonymous"] <= memory["rss"]


def test_what_the_kernel_does_not_tell_is_absent(tmp_path: Path) -> None:
    assert read_memory(tmp_path) == {}
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t    2 kB\n")
    assert read_memory(tmp_path) == {"peak": 2048}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_the_memory_of_the_machine() -> None:
    (line,) = [
        line for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line
    ]
    assert read_machine_memory() == int(line.split()[1]) * 1024


def test_a_system_that_does_not_tell_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> int:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", unknown)
    assert read_machine_memory() is None
    monkeypatch.delattr(os, "sysconf")
    assert read_machine_memory() is None


def test_is_read_at_most_once_a_second() -> None:
    now, reads = [100.0], []

    def read() -> dict[str, int]:
        reads.append(now[0])
        return {"rss": len(reads)}

    reader = MemoryReader(read, lambda: now[0])
    assert reader() == reader() == {"rss": 1}
    now[0] += 0.9
    assert reader() == {"rss": 1}
    now[0] += 0.2
    assert reader() == {"rss": 2}


# ---- what decoding takes

_MEASURE = """
import resource, sys
from pathlib import Path
from runtime import InvalidImage, decode_image
from service.memory import read_memory

data = Path(sys.argv[1]).read_bytes()
if sys.argv[2] == "peak":
    before = read_memory()["rss"]
    decode_image(data)
    print(read_memory()["peak"] - before)
else:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    room = pages * resource.getpagesize() + int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    try:
        decode_image(data)
    except (MemoryError, InvalidImage) as fault:
        print(type(fault).__name__)
"""
SIDE = 2000
_TURNED = Image.Exif()
_TURNED[0x0112] = 6
# Mode, format, options, bytes per pixel at the peak: the table in service/README.md.
_PEAKS = [
    ("RGB", "PNG", {}, 4),
    ("L", "PNG", {}, 5),
    ("P", "PNG", {}, 5),
    ("I;16", "PNG", {}, 6),
    ("LA", "PNG", {}, 8),
    ("RGBA", "PNG", {"exif": _TURNED}, 8),
    ("RGB", "PNG", {"transparency": (1, 2, 3)}, 8),
    ("RGB", "JPEG", {}, 4),
    ("RGB", "JPEG", {"exif": _TURNED}, 8),
    ("CMYK", "JPEG", {}, 8),
    ("RGB", "JPEG", {"progressive": True}, 7),
    ("RGB", "JPEG", {"progressive": True, "subsampling": 0}, 10),
    ("CMYK", "JPEG", {"progressive": True, "subsampling": 0}, 12),
    ("RGB", "WEBP", {"quality": 30, "method": 0}, 12),
    ("RGBA", "WEBP", {"lossless": True, "quality": 0, "method": 0, "exif": _TURNED}, 12),
]


def measure(path: Path, mode: str, kind: str, options: dict[str, Any], what: str) -> str:
    """Decodes a picture of SIDE x SIDE in a process of its own, under a limit or measured."""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells and limits the memory of a process as this test needs it")
    image = Image.linear_gradient("L").resize((SIDE, SIDE)).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    image.save(path, kind, **options)
    command = [sys.executable, "-c", _MEASURE, str(path), what]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return answer.stdout.strip()


@pytest.mark.parametrize(("mode", "kind", "options", "per_pixel"), _PEAKS)
def test_decoding_stays_within_the_documented_memory(
    mode: str, kind: str, options: dict[str, Any], per_pixel: int, tmp_path: Path
) -> None:
    path = tmp_path / "picture"
    peak = int(measure(path, mode, kind, options, "peak"))
    assert per_pixel < DECODING_BYTES_PER_PIXEL
    assert peak <= per_pixel * SIDE**2 + 3 * path.stat().st_size + 5 * 2**20


@pytest.mark.parametrize(("mode", "kind", "options", "per_pixel"), _PEAKS)
def test_a_lack_of_memory_is_not_called_damage(
    mode: str, kind: str, options: dict[str, Any], per_pixel: int, tmp_path: Path
) -> None:
    room = str((per_pixel - 3) * SIDE**2)
    assert measure(tmp_path / "picture", mode, kind, options, room) == "MemoryError"
