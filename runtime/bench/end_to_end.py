"""Report on a JPEG's bytes to a label, on one core: ours beside Pillow and ONNX Runtime."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from runtime.bench.interpreters import explain
from runtime.bench.peer_contestants import INT8, REFERENCE, check_answer
from runtime.bench.peer_process import PeerProcess
from runtime.bundle import ONNX_GRAPH, Bundle
from runtime.engines.engine import load_engine
from runtime.engines.onnx_sessions import saturates
from runtime.errors import RuntimeFault
from runtime.image_reader import ImageReader
from runtime.measurement.machine import name_cpus
from runtime.measurement.timing import RUNS_PER_TURN, Progress, summarize

# Width and height of the photos; the last is a telephone's 12 megapixels.
PHOTOS = {"224 pixels": (224, 224), "512 pixels": (512, 384), "12 megapixels": (4000, 3000)}
JPEG_QUALITY = 85
WHOLE, CPU = "whole", "cpu"

Seconds = dict[str, list[float]]  # of each part


def make_photo(width: int, height: int, seed: int = 0) -> bytes:
    """A JPEG of soft shapes in colour with grain on them, which codes as long as photos do."""
    random = np.random.default_rng(seed)
    shapes = random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = Image.fromarray(shapes).resize((width, height), Image.Resampling.BICUBIC)
    tile = random.normal(0, 6, (256, 256, 1))
    grain = np.tile(tile, (-(-height // 256), -(-width // 256), 1))[:height, :width]
    pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


def measure_end_to_end(
    bundle: Bundle,
    mobilenet: Bundle,
    interpreters: Mapping[str, str],
    *,
    folder: Path,
    runs: int,
    progress: Progress,
) -> dict[str, Any]:
    """Our bundle in the native engine and a MobileNet in the peer, in turns, photo by photo.

    "rows": one a photo and contestant, with the summary of "whole" and of "cpu" in milliseconds.
    A peer that fails is among "not_measured". Raises RuntimeFault if ours does.
    """
    photos = {name: make_photo(*size) for name, size in PHOTOS.items()}
    paths = {name: folder / f"{name.replace(' ', '-')}.jpg" for name in photos}
    for name, data in photos.items():
        paths[name].write_bytes(data)
    engine = load_engine(bundle, "native", 1)
    reader = ImageReader(bundle.manifest.preprocessing)

    def classify(data: bytes) -> str:
        logits = engine.predict(reader.read_tensor(data)[None])
        return bundle.manifest.labels[int(logits[0, : bundle.manifest.classes].argmax())]

    samples: dict[tuple[str, str], Seconds]
    samples = {(name, who): {WHOLE: [], CPU: []} for name in photos for who in ("ours", "peer")}
    progress("starting onnxruntime with Pillow")
    missing: dict[str, str] = {}
    peer: PeerProcess | None = None
    try:
        peer = _start_peer(mobilenet, paths, photos, interpreters)
    except RuntimeFault as error:
        missing["Pillow and onnxruntime"] = explain(REFERENCE, error)
    version = peer.facts["version"] if peer else ""
    try:
        for turn in range(-(-runs // RUNS_PER_TURN)):
            for name, data in photos.items():
                progress(f"turn {turn + 1}: {name}")
                _extend(samples[name, "ours"], _time_ours(lambda d=data: classify(d)))
                if peer:
                    _extend(samples[name, "peer"], peer.time(name, RUNS_PER_TURN))
    except RuntimeFault as error:
        missing["Pillow and onnxruntime"] = str(error)
        samples = {key: value for key, value in samples.items() if key[1] == "ours"}
    finally:
        if peer:
            peer.close()
    contestants = {
        "ours": (bundle, f"native/{engine.implementation}", "this build"),
        "peer": (mobilenet, "Pillow and onnxruntime", version),
    }
    rows = []
    for (name, who), seconds in samples.items():
        if not seconds[WHOLE]:
            continue
        network, engine_name, its_version = contestants[who]
        rows.append(
            {
                "photo": name,
                "bytes": len(photos[name]),
                "network": network.manifest.name,
                "trained": network.manifest.trained,
                "input": list(network.manifest.input),
                "engine": engine_name,
                "version": its_version,
                WHOLE: summarize(seconds[WHOLE]),
                CPU: summarize(seconds[CPU]),
            }
        )
    return {"rows": rows, "not_measured": missing}


def format_end_to_end(result: Mapping[str, Any], cpus: Sequence[int]) -> str:
    """The table."""
    lines = [
        f"a JPEG's bytes to a label, threads 1, {name_cpus(cpus)}, ms",
        f"  {'photo':<15}{'network':<34}{'engine':<24}{'median':>9}{'p10':>9}{'p90':>9}{'CPU':>9}",
    ]
    for row in result["rows"]:
        state = "" if row["trained"] else ", random weights"
        network = f"{row['network']}, {row['input'][1]}{state}"
        whole = row[WHOLE]
        lines.append(
            f"  {row['photo']:<15}{network:<34}{row['engine']:<24}{whole['median_ms']:>9.2f}"
            f"{whole['p10_ms']:>9.2f}{whole['p90_ms']:>9.2f}{row[CPU]['median_ms']:>9.2f}"
            f"  {row['version']}"
        )
    lines.extend(f"  {name} not measured: {why}" for name, why in result["not_measured"].items())
    return "\n".join(lines)


def _start_peer(
    mobilenet: Bundle,
    paths: Mapping[str, Path],
    photos: Mapping[str, bytes],
    interpreters: Mapping[str, str],
) -> PeerProcess:
    """The peer, its logits compared with those of our engine for ONNX. Raises RuntimeFault."""
    options = {
        "model": str(mobilenet.path / ONNX_GRAPH),
        "preprocessing": asdict(mobilenet.manifest.preprocessing),
        "photos": {name: str(path) for name, path in paths.items()},
        "saturates": saturates(),
    }
    peer = PeerProcess(interpreters[REFERENCE], "label_peer", options)
    try:
        engine = load_engine(mobilenet, "onnx", 1)
        reader = ImageReader(mobilenet.manifest.preprocessing)
        for name, data in photos.items():
            logits = engine.predict(reader.read_tensor(data)[None])
            check_answer(np.array(peer.facts["answers"][name]), logits, INT8)
    except BaseException:
        peer.close()
        raise
    return peer


def _time_ours(call: Any) -> Seconds:
    call()  # as the peer: one that is not timed
    seconds: Seconds = {WHOLE: [], CPU: []}
    for _ in range(RUNS_PER_TURN):
        began, began_cpu = time.perf_counter(), time.process_time()
        call()
        seconds[WHOLE].append(time.perf_counter() - began)
        seconds[CPU].append(time.process_time() - began_cpu)
    return seconds


def _extend(samples: Seconds, seconds: Mapping[str, Sequence[float]]) -> None:
    for part, values in samples.items():
        values += seconds[part]
