"""How much memory a model takes, by its manifest alone, before anything of it is loaded.

Measured with MeliusNet22, MeliusNet59 and MobileNet-v1 at 224 pixels (x86-64, AVX-512, 1 and 4
threads): by how many bytes a process that has another model grows at most while this one is loaded
and warmed up, and what stays of them.
"""

from __future__ import annotations

from runtime.bundle import ONNX_GRAPH, WEIGHTS
from runtime.manifest import Manifest

_MIB = 2**20
# Times the bytes of the file that is read, and bytes beside them.
_PACKED = (3, 24 * _MIB)  # MeliusNet59: 17 MiB read, at most 44 to 57 MiB, 33 to 41 stay
_FLOAT_GRAPH = (5, 32 * _MIB)  # MobileNet-v1: 16 MiB read, at most 65 to 101, 31 to 61 stay
# ONNX Runtime unpacks a bit to a float32. MeliusNet59: at most 1,015 to 1,236 MiB, 288 to 575 stay.
_UNPACKED_GRAPH = (72, 64 * _MIB)


def estimate_load_bytes(manifest: Manifest, engine: str) -> int:
    """Max bytes for loading a bundle; `engine`: as for load_engine, auto or a name."""
    files = manifest.files
    if WEIGHTS in files and engine != "onnx":
        times, beside = _PACKED
        size = files[WEIGHTS].bytes
    else:
        times, beside = _UNPACKED_GRAPH if manifest.plan else _FLOAT_GRAPH
        read = [files[ONNX_GRAPH]] if ONNX_GRAPH in files else list(files.values())
        size = sum(entry.bytes for entry in read)
    return times * size + beside


def estimate_kept_bytes(manifest: Manifest, engine: str, workspace_bytes: int = 0) -> int:
    """Bytes that a bundle takes while it is loaded; `engine`: as for load_engine.

    `workspace_bytes`: of its activations, which a loaded engine knows.
    """
    return estimate_load_bytes(manifest, engine) // 2 + workspace_bytes
