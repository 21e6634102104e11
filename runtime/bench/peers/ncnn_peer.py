"""Peer: ncnn on an ONNX graph of one float32 image [1, 3, S, S], converted by pnnx beside it."""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def open_peer(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[], None]]]:
    """options: model (path), threads, batch, size (pixels). Facts: "answer", logits of the seeded
    image. Calls: predict.
    """
    from importlib.metadata import version

    import ncnn
    import numpy as np

    if options["batch"] != 1:
        raise ValueError("it runs one image at a time; measure with batch 1")
    shape = (1, 3, options["size"], options["size"])
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)[0]
    network = ncnn.Net()
    network.opt.num_threads = options["threads"]
    network.opt.use_vulkan_compute = False
    for name in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(network.opt, f"use_{name}", False)  # float32, as everybody
    with tempfile.TemporaryDirectory() as folder:
        param, weights = _convert(Path(options["model"]), shape, Path(folder))
        if network.load_param(str(param)) or network.load_model(str(weights)):
            raise RuntimeError("ncnn refuses what pnnx wrote")
    (given,), (found,) = network.input_names(), network.output_names()

    def infer() -> Any:
        extractor = network.create_extractor()
        extractor.input(given, ncnn.Mat(image))
        code, logits = extractor.extract(found)
        if code:
            raise RuntimeError(f"ncnn's inference ended with {code}")
        return logits

    def predict() -> None:
        infer()

    answer = [np.array(infer()).ravel().tolist()]
    return {"version": f"ncnn {version('ncnn')}", "answer": answer}, {"predict": predict}


def _convert(model: Path, shape: tuple[int, ...], folder: Path) -> tuple[Path, Path]:
    """The two files of ncnn. pnnx writes beside the model, so it gets a name of it elsewhere.

    Its Python package imports torch; the program in it does not need that.
    """
    package = importlib.util.find_spec("pnnx")
    if package is None or not package.submodule_search_locations:
        raise ImportError("expected the package pnnx, which converts for ncnn")
    program = Path(package.submodule_search_locations[0], "pnnx")
    named = folder / "model.onnx"
    named.symlink_to(model.resolve())
    sides = "[" + ",".join(map(str, shape)) + "]"
    answer = subprocess.run(
        [str(program), str(named), f"inputshape={sides}", "fp16=0"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    files = folder / "model.ncnn.param", folder / "model.ncnn.bin"
    if answer.returncode or not all(file.is_file() for file in files):
        raise RuntimeError(f"pnnx ended with {answer.returncode}: {answer.stderr[-200:]}")
    return files
