"""The table of two served networks of about equal bytes that the same teachers taught.

RUNS/pair.toml names the two: for each its bundle, the runs that trained it, in order, and the
record of models.known in RUNS/held-out. All else is read from these. If a bundle has been trained
on since, `since` has the runs after those compared: bytes and time are the bundle's, all other
figures those of before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.data.toml_files import read_toml
from models.errors import DataError
from models.records.known import KnownRecord
from models.records.typed_json import parse_json
from models.report.latency import Latencies, key_of_bundle
from models.report.runs import Run
from runtime import Bundle, read_bundle
from runtime.bundle import ONNX_GRAPH, WEIGHTS
from runtime.measurement.tables import make_table

PAIR = "pair.toml"
HELD_OUT = "held-out"
ROOT = Path(__file__).parents[2]
HEAD = (
    *("network", "model, bytes", "input", "photos seen", "minutes", "initialised from"),
    *("top-1 %", "balanced %", "AUROC of `known`", "ms", "runs"),
)


@dataclass(frozen=True)
class Member:
    """One of the two: what is served, how it was trained, what it reaches."""

    bundle: Bundle
    runs: tuple[Run, ...]
    held_out: KnownRecord
    since: tuple[str, ...] = ()  # runs after those compared


def read_pair(folder: Path, runs: Sequence[Run], root: Path = ROOT) -> list[Member]:
    """The two of the folder's pair.toml; none without such a file. Bundles are below `root`.

    Raises DataError, also if they were measured on different images; BundleError.
    """
    path = folder / PAIR
    if not path.is_file():
        return []
    by_name = {run.name: run for run in runs}
    rows = read_toml(path).get("network")
    if not isinstance(rows, list) or len(rows) != 2:
        raise DataError(f"{path}: expected two tables [[network]]; found {str(rows)[:80]}")
    members = [_read_member(path, row, by_name, root) for row in rows]
    first, second = (member.held_out for member in members)
    if first.sha256 != second.sha256:
        raise DataError(
            f"{path}: expected both networks measured on the same images; found {first.data} "
            f"({first.sha256[:12]}) and {second.data} ({second.sha256[:12]}). Measure them again: "
            "models.known."
        )
    return members


def _read_member(
    path: Path, row: Mapping[str, object], runs: Mapping[str, Run], root: Path
) -> Member:
    bundle, names, record = (row.get(key) for key in ("bundle", "runs", "held_out"))
    since = row.get("since", [])
    if not (isinstance(bundle, str) and isinstance(record, str)) or not (
        isinstance(names, list) and isinstance(since, list)
    ):
        raise DataError(
            f"{path}: expected a bundle, a list of runs, held_out, and as since a list of runs or "
            f"nothing; found {sorted(row)}"
        )
    missing = [str(name) for name in (*names, *since) if str(name) not in runs]
    if missing or not names:
        found = ", ".join(missing) or "none"
        raise DataError(f"{path}: expected runs with a record here; found {found}")
    file = path.parent / HELD_OUT / f"{record}.json"
    if not file.is_file():
        raise DataError(f"{file}: expected what models.known printed; found no file")
    held_out = parse_json(
        KnownRecord,
        file.read_bytes(),
        where=str(file),
        expected="what models.known printed",
        remedy="Measure it again.",
    )
    told = tuple(runs[name] for name in names)
    return Member(read_bundle(root / bundle), told, held_out, tuple(since))


def describe_pair(members: Sequence[Member], latencies: Latencies) -> list[str]:
    """The parts of the section; none of no members."""
    if not members:
        return []
    figures = members[0].held_out.test
    return [
        make_table(HEAD, [_write_row(member, latencies) for member in members]),
        "**The claim, on nearly equal terms**: about equal bytes, the same teachers, photos and "
        f"pixels. Measured as exported bundles, on {figures.images_known:,} photos of "
        f"{len(figures.top1_by_label)} kinds and {figures.images_far + figures.images_near:,} "
        "others, from repositories that trained neither ([how](README.md#held-out)). MeliusNet's "
        "binary weights take a bit each, MobileNet-v1's take 8. Photos seen and minutes of one "
        "core are those of the runs named. **The start is not equal** where one was initialised "
        "from weights: it had learned before, often for longer than these minutes."
        + "".join(_tell_since(member) for member in members if member.since),
    ]


def _tell_since(member: Member) -> str:
    runs = ", ".join(f"[{name}](runs/{name}/record.json)" for name in member.since)
    return (
        f" The {member.bundle.manifest.name} that is served has been trained on since ({runs}), "
        "which the other has not. This row is of the network before that."
    )


def _write_row(member: Member, latencies: Latencies) -> list[str]:
    manifest, test = member.bundle.manifest, member.held_out.test
    files = manifest.files
    weights = files.get(WEIGHTS) or files[ONNX_GRAPH]
    area = test.auroc_far.get(member.held_out.source)
    row = latencies.networks.get(key_of_bundle(manifest))
    seen = sum(len(run.record.epochs) * run.record.data.train_images for run in member.runs)
    return [
        manifest.name,
        f"{weights.bytes:,}",
        f"{manifest.preprocessing.crop}x{manifest.preprocessing.crop}",
        f"{seen:,}",
        f"{sum(run.record.seconds for run in member.runs) / 60:.0f}",
        (member.runs[0].start or "random weights").partition(" (")[0],
        f"{test.top1:.1f}",
        f"{test.balanced_top1:.1f}",
        "" if area is None else f"{area.value:.3f}",
        f"{row.median_ms:.2f}" if row else "not measured",
        ", ".join(f"[{run.name}](runs/{run.name}/record.json)" for run in member.runs),
    ]
