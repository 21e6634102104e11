"""Facts, rules and photos of small albums that tests make."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.albums.facts import Facts
from models.albums.grounding import Floats, Graph
from models.albums.rules import Rule

LABELS = ("bird", "cat", "cow", "dog", "insect")
NOON = 1_700_000_000.0


def make_facts(
    times: Sequence[float],
    sessions: Sequence[int] | None = None,
    cameras: Sequence[str] | None = None,
    folders: Sequence[tuple[str, ...]] | None = None,
    places: Sequence[tuple[float, float]] | None = None,
) -> Facts:
    """Each photo is a burst; without `sessions` also a session."""
    count = len(times)
    own = range(count) if sessions is None else sessions
    return Facts(
        times=np.array(times, np.float64),
        sessions=np.array(own, np.int64).reshape(-1),
        bursts=np.arange(count),
        cameras=tuple(cameras or [""] * count),
        folders=tuple(folders or [()] * count),
        places=np.array(places or [(np.nan, np.nan)] * count, np.float64).reshape(-1, 2),
    )


def make_scores(random: np.random.Generator, photos: int, kinds: int = len(LABELS)) -> Floats:
    """Logarithms of probabilities, [photos, kinds]."""
    values = random.normal(0, 1.5, (photos, kinds))
    return np.asarray(values - np.logaddexp.reduce(values, axis=1, keepdims=True))


def enumerate_all(graph: Graph, rules: Sequence[Rule], scores: Floats) -> tuple[Floats, float]:
    """Marginals [nodes, kinds] and the logarithm of the total, by the sum over every choice.

    Written apart from the code that it checks: straight from the rules, without tables of edges.
    """
    totals = np.zeros((graph.nodes, graph.kinds))
    for choice in itertools.product(range(graph.kinds), repeat=graph.nodes):
        logarithm = sum(float(scores[i, choice[i]]) for i in range(graph.photos))
        for ground in graph.grounds:
            rule = rules[ground.rule]
            for nodes in ground.nodes.reshape(len(ground.nodes), -1):
                holds = bool(ground.holds[tuple(choice[node] for node in nodes)])
                if rule.hard:
                    logarithm += 0.0 if holds else -np.inf
                else:
                    logarithm += rule.weight * holds
        for node, kind in enumerate(choice):
            totals[node, kind] += np.exp(logarithm)
    total = totals[0].sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        return totals / total, float(np.log(total))


def write_photo(
    path: Path,
    time: str | None = None,
    tags: Mapping[int, Any] | None = None,
    gps: Mapping[int, Any] | None = None,
    camera: str | None = None,
    seed: int = 0,
) -> None:
    """A JPEG of noise with EXIF; time as "2024:05:01 12:00:00", tags of the inner directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_photo(time, tags, gps, camera, seed))


def make_photo(
    time: str | None = None,
    tags: Mapping[int, Any] | None = None,
    gps: Mapping[int, Any] | None = None,
    camera: str | None = None,
    seed: int = 0,
) -> bytes:
    """The bytes of write_photo."""
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)
    exif = Image.Exif()
    if camera:
        exif[0x0110] = camera
    inner = {**({0x9003: time} if time else {}), **(tags or {})}
    if inner:
        exif.get_ifd(0x8769).update(inner)
    if gps:
        exif.get_ifd(0x8825).update(gps)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", exif=exif)
    return stream.getvalue()
