"""Records of training runs as models.training.run writes them, small and with every field."""

import csv
import json
from pathlib import Path
from typing import Any

from models.records.record import Record
from models.records.typed_json import parse_json
from models.report.document import make_report
from models.report.latency import key_of, read_latencies
from models.report.runs import read_runs


def make_record(network: str = "meliusnet13", **changes: Any) -> dict[str, Any]:
    """A finished run on two classes of 32 pixels; `changes` replace top-level fields."""
    record: dict[str, Any] = {
        "format": 1,
        "data": {
            "name": "pets", "classes": ["a", "b"], "labels": ["cat", "dog"],
            "parts": {"test": {"images": 20, "sha256": "ab12"}},
            "train_images": 90, "validation_images": 10, "skipped": [],
        },
        "network": network,
        "changes": {},
        "preprocessing": {
            "resize": 32, "crop": 32, "interpolation": "bilinear",
            "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25],
        },
        "stored_side": 32, "teacher": None, "device": "a CPU", "threads": 2,
        "processes": 1, "execution": {}, "torch": "2", "commit": "0123456789abcdef",
        "version": "0.1.0",
        "recipe": {
            "epochs": 1, "batch": 8, "optimizer": "radam", "learning_rate": 0.002,
            "augmentation": "crop", "distillation": 0.0, "seed": 1,
        },
        "started": "2026-11-26T00:00:00+00:00",
        "seconds": 120.0,
        "finished": True,
        "epochs": [{"epoch": 1, "loss": 1.0, "train_top1": 60.0, "learning_rate": 0.001,
                    "validation_top1": 78.0}],
        "test": {
            "split": "test", "top1": 80.0, "top5": 100.0, "loss": 0.5, "images": 20,
            "calibration_error": 9.5, "calibration_error_with_temperature": 3.25,
        },
        "calibration": {"temperature": 1.5, "images": 10},
    }  # fmt: skip
    return record | changes


def parse_record(content: dict[str, Any]) -> Record:
    """As read_record does of a file."""
    return parse_json(Record, json.dumps(content), where="here", expected="a record", remedy="")


def write_run(folder: Path, record: dict[str, Any], confusion: list[list[int]]) -> None:
    """A run's folder."""
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(record))
    with (folder / "confusion.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["true class \\ answer", *record["data"]["labels"]])
        writer.writerows(
            [name, *row] for name, row in zip(record["data"]["labels"], confusion, strict=True)
        )


MACHINE = {
    "cpu": "CPU of a test", "system": "x", "cores": 2, "cores_allowed": 2,
    "implementation": "avx2", "python": "3", "packages": {},
}  # fmt: skip


def write_runs(folder: Path) -> Path:
    """Folders of runs: two seeds of a network, a shifted one, its twins, two MobileNets."""
    base = make_record()
    first = base["test"]
    others = {
        "melius-1": base,
        "melius-2": make_record(recipe=base["recipe"] | {"seed": 2}, test=first | {"top1": 82.0}),
        "melius-shift": make_record(
            changes={"shift": 0.1}, test=first | {"top1": 70.0, "positive_share": 0.625}
        ),
        "dense": make_record(changes={"improvement": False}, test=first | {"top1": 75.5}),
        "float": make_record(changes={"binary": False}, test=first | {"top1": 98.0}),
        "taught": make_record(
            teacher="a float net",
            recipe=base["recipe"] | {"distillation": 0.5},
            test=first | {"top1": 83.5},
        ),
        "mobile-small": make_record("mobilenet_v1_0.25_small", test=first | {"top1": 85.0}),
        "mobile-large": make_record("mobilenet_v1", test=first | {"top1": 99.0}),
    }
    for name, record in others.items():
        write_run(folder / name, record, [[8, 2], [5, 5]])
    times = {"median_ms": 1.5, "p10_ms": 1.25, "p90_ms": 2.0, "fastest_ms": 1.0, "runs": 9}
    keys = {name: key_of(parse_record(record)) for name, record in others.items()}
    networks = {key: {"engine": "e", **times} for key in keys.values()}
    del networks[keys["mobile-large"]]
    content = {"format": 1, "machine": MACHINE, "threads": 1, "networks": networks}
    (folder / "latencies.json").write_text(json.dumps(content))
    return folder


def report(runs: Path) -> str:
    """The report on folders that write_runs wrote."""
    return make_report(read_runs(runs), read_latencies(runs / "latencies.json"))
