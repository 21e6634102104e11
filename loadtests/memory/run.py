"""Measures the memory of one server: before its model, idle, and under closed loops."""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path

from loadtests.clients.http_client import Pool
from loadtests.clients.images import EncodedImage
from loadtests.clients.loops import run_closed_loop
from loadtests.clients.outcomes import count_labels
from loadtests.clients.requests import build_classify
from loadtests.command_line.progress import Progress
from loadtests.errors import ServerFault
from loadtests.memory.measured import Load, Measured
from loadtests.memory.sides import SLIM, Side
from loadtests.servers.baseline import measure_server_no_model
from loadtests.servers.processes import format_bytes
from loadtests.servers.sampling import sample_usage
from loadtests.servers.server import Server
from loadtests.servers.smaps import list_libraries, read_mapped, read_memory
from loadtests.servers.steps import break_down

_SETTLE_SECONDS = 5.0  # idle: the service gives back what is free after two
_PERIOD_SECONDS = 0.05
_WEIGHTS = "packed.safetensors"
_HEAVY = ("libtorch", "onnxruntime")


async def measure_side(
    side: Side,
    images: Sequence[EncodedImage],
    files: Sequence[Path],
    options: argparse.Namespace,
    cpus: Sequence[int],
    progress: Progress,
) -> Measured:
    """Everything of one server; `files` are the images on disk. Raises ServerFault."""
    breakdown = None
    if side.engine is not None:
        breakdown = await break_down(
            side.spec.command[0],
            side.spec.folder,
            side.engine,
            side.spec.environment,
            files=files if side.name == SLIM else (),
            cpus=cpus,
        )
        no_model = breakdown.without_model.rss
    else:
        no_model = await measure_server_no_model(side.spec, cpus)
    with Server(side.spec, cpus) as server:
        await server.wait_until_ready()
        await asyncio.sleep(_SETTLE_SECONDS)
        libraries = list_libraries(server.pid)
        result = Measured(
            side,
            breakdown,
            no_model,
            read_memory(server.pid),
            server.read_usage(),
            [name for name in _HEAVY if any(name in library for library in libraries)],
            read_mapped(server.pid, _WEIGHTS),
        )
        for clients in options.clients:
            load = await put_under_load(server, side, images, clients, options, progress)
            result.loads.append(load)
        await asyncio.sleep(_SETTLE_SECONDS)
        result.after = server.read_usage().rss_bytes
    return result


async def put_under_load(
    server: Server,
    side: Side,
    images: Sequence[EncodedImage],
    clients: int,
    options: argparse.Namespace,
    progress: Progress,
) -> Load:
    """Slice after slice, until the peak is level or there are no more. Raises ServerFault."""
    bodies = [build_classify(image, side.form).data for image in images]
    load, pool = Load(clients), Pool(server.address)
    try:
        while len(load.peaks) < options.slices and not load.is_level(options.max_rise):
            async with sample_usage(server, _PERIOD_SECONDS) as samples:
                run = await run_closed_loop(pool, bodies, clients, options.seconds)
            labels = count_labels(run.outcomes)
            if list(labels) != ["200"]:
                raise ServerFault(f"{side.name}: expected 200 for every request, found {labels}")
            load.peaks.append(max([samples.peak_rss_bytes, *load.peaks]))
            load.answers += len(run.outcomes)
            load.seconds += run.seconds
            progress.show(f"{side.name}: {clients} clients, peak {format_bytes(load.peak)} MiB")
    finally:
        pool.close()
    progress.note(f"{side.name}: {clients} clients, peak {format_bytes(load.peak)} MiB")
    return load


def write_files(images: Sequence[EncodedImage], folder: Path) -> list[Path]:
    """Each as a file of its name."""
    paths = [folder / image.name for image in images]
    for path, image in zip(paths, images, strict=True):
        path.write_bytes(image.data)
    return paths
