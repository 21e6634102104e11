"""One training from pictures to figures: decodes, trains, measures, writes the run's folder.

In it: checkpoint.pt (written every few minutes and after each epoch), metrics.jsonl (a line per
epoch), record.json, curves.svg and, at the end, confusion.csv.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from models.data.datasets import DataSet
from models.data.decoded import LabelledImages, decode_pictures
from models.data.image_files import PictureFiles
from models.data.preprocessing import evaluation_preprocessing, whole_preprocessing
from models.data.splits import hold_back
from models.errors import CheckpointMismatch, DamagedPictures, DataError, RecipeError
from models.evaluation.final import measure_outcome
from models.networks.registry import Network, build_network, default_image_size
from models.plots.curves import write_curves
from models.records import provenance, record
from models.training.checkpoint import (
    CHECKPOINT,
    FORMAT,
    MAY_DIFFER,
    read_checkpoint,
    save_checkpoint,
    verify_same_run,
)
from models.training.distillation import Teacher, load_teacher
from models.training.distributed import Processes, device_of, prepare
from models.training.initial_weights import Start, read_start
from models.training.linear_probe import fit_last_layer, take_enough
from models.training.recipe import Recipe
from models.training.trainer import Execution, Trainer

_WHAT = ("network", "changes", "preprocessing", "stored_side", "teacher", "start", "device")
_MACHINE = ("threads", "processes", "execution", "torch", "commit", "version")
_PICTURES = ("classes", "labels", "train_images", "validation_images", "skipped")
#: what of a checkpoint's content a record is made of, beside its state
RECORDED = frozenset({*_WHAT, *_MACHINE, *_PICTURES, "data", "data_sha256", "started"})
SECONDS_BETWEEN_SAVES = 10  # at least, where epochs are short


@dataclass(frozen=True)
class Job:
    """What to train: a network (and fields of its spec that differ) on a data set, by a recipe."""

    network: str
    data: DataSet
    out: Path
    recipe: Recipe = field(default_factory=Recipe)
    changes: Mapping[str, Any] = field(default_factory=dict)
    image_size: int | None = None  # side of the input; default: the network's
    resize: int | None = None  # shorter side before the centre crop when evaluating
    stored_side: int | None = None  # of the training pictures before augmentation
    execution: Execution = field(default_factory=Execution)
    device: str = "cpu"
    teacher: str | None = None
    start: Path | None = None  # weights to begin with, models.pretrained
    cache: Path | None = None
    workers: int = 2
    checkpoint_minutes: float = 10
    resume: bool = False
    skip_damaged: bool = False
    progress: bool = True


def build_network_of(job: Job) -> Network:
    """Untrained. Raises RecipeError."""
    try:
        return build_network(job.network, len(job.data.train.classes), **job.changes)
    except ValueError as error:
        raise RecipeError(str(error)) from error


def run_training(job: Job, processes: Processes | None = None) -> dict[str, Any]:
    """Trains to the end, or goes on; returns the content of the last checkpoint.

    Raises TrainingFault.
    """
    return _Run(job, processes or Processes()).run()


class _Run:
    """The steps of run_training, in this order."""

    def __init__(self, job: Job, processes: Processes) -> None:
        self.job, self.processes = job, processes
        self.device = device_of(job.device, processes)
        prepare(self.device)
        self.shows = job.progress and processes.first
        self.started = datetime.now(UTC)
        self.checkpoint = job.out / CHECKPOINT
        if self.checkpoint.exists() and not job.resume:
            raise CheckpointMismatch(
                f"{self.checkpoint} exists; give --resume to go on from it, or another --out"
            )
        if job.recipe.epochs:
            processes.check_batch(job.recipe.batch)
        torch.manual_seed(job.recipe.seed)
        self.network = build_network_of(job)
        self.start, fits_last_layer = self._begin()
        self.network.to(self.device)
        side = default_image_size(self.network) if job.image_size is None else job.image_size
        self.preprocessing = evaluation_preprocessing(side, job.resize)
        self.stored_side = self.preprocessing.resize if job.stored_side is None else job.stored_side
        if self.stored_side < side:
            raise DataError(
                f"expected stored pictures of at least the input's {side} pixels; found "
                f"--stored-side {self.stored_side}"
            )
        self.teacher = self._load_teacher()
        self.data_sha256 = {name: part.sha256() for name, part in job.data.parts().items()}
        files, copies = _split(job)
        if copies and self.shows:
            tqdm.write(f"{copies} pictures left out: copies of others to watch or measure by")
        parts = self._decode_all(files)
        self.skipped = [line for images in parts.values() for line in images.skipped]
        train = parts["train"].to(self.device)
        validation = parts.get("validation")
        self.test_images = parts.get("test")
        if fits_last_layer and not self.checkpoint.exists():
            seen = take_enough(train) if job.recipe.epochs else train
            fit_last_layer(self.network, seen, self.preprocessing, self.shows)
        self.trainer = Trainer(
            self.network,
            train,
            validation.to(self.device) if validation else None,
            job.recipe,
            self.preprocessing,
            execution=job.execution,
            processes=processes,
            teacher=self.teacher,
        )
        self.header = self._make_header(len(train), len(validation) if validation else 0)
        self.test: dict[str, Any] | None = None
        self.calibration: dict[str, Any] | None = None

    def _decode_all(self, parts: Mapping[str, PictureFiles]) -> dict[str, LabelledImages]:
        """All parts before a training that may take days, damaged pictures of all of them named.

        Raises DamagedPictures; DataError if a class has lost its pictures of a part.
        """
        job = self.job
        decoded: dict[str, LabelledImages] = {}
        faults: list[str] = []
        for name, files in parts.items():
            spec = whole_preprocessing(self.stored_side) if name == "train" else self.preprocessing
            try:
                decoded[name] = decode_pictures(
                    files,
                    spec,
                    title=f"decoding {name}",
                    progress=self.shows,
                    workers=job.workers,
                    skip_damaged=job.skip_damaged,
                    cache=job.cache,
                )
            except DamagedPictures as error:
                faults += error.faults
        if faults:
            raise DamagedPictures(faults, sum(map(len, parts.values())))
        for name, files in parts.items():
            _check_classes(files, decoded[name], f"{job.data.name}, {name} part")
        return decoded

    def _begin(self) -> tuple[Start | None, bool]:
        """What the training begins with, and whether the last layer still has to be fitted."""
        job = self.job
        if job.start is not None:
            start = read_start(job.start)
            if job.changes.get("shift"):
                raise RecipeError(
                    "expected --shift without --start: it is where offsets begin, and these have "
                    "been learned; leave one of them out"
                )
            same = start.begin(self.network, job.network, job.data.train.classes)
            return start, not same or job.recipe.epochs == 0
        if job.recipe.epochs == 0:
            raise RecipeError(
                "expected at least 1 epoch for a network that has learned nothing; found 0. Give "
                "--start, or more epochs."
            )
        return None, False

    def _load_teacher(self) -> Teacher | None:
        job = self.job
        if (job.teacher is None) != (job.recipe.distillation == 0):
            raise RecipeError(
                "expected --teacher and --distillation above 0 together; found "
                f"{'no teacher' if job.teacher is None else 'a teacher'} and distillation "
                f"{job.recipe.distillation}. A weight of 0.5 is a good start."
            )
        if job.teacher is None:
            return None
        if job.recipe.epochs == 0:
            raise RecipeError(
                "expected at least 1 epoch to learn from a teacher in; found 0. Give --epochs, or "
                "leave --teacher out."
            )
        return load_teacher(job.teacher, job.data.train.classes).to(self.device)

    def _make_header(self, train: int, validation: int) -> dict[str, Any]:
        job = self.job
        return {
            "format": FORMAT,
            "network": job.network,
            "changes": dict(job.changes),
            "classes": list(job.data.train.classes),
            "labels": list(job.data.labels),
            "preprocessing": asdict(self.preprocessing),
            "stored_side": self.stored_side,
            "data": job.data.name,
            "data_sha256": self.data_sha256,
            "train_images": train,
            "validation_images": validation,
            "skipped": self.skipped,
            "teacher": self.teacher.name if self.teacher else None,
            "start": self.start.name if self.start else None,
            "device": provenance.describe_device(self.device),
            "torch": str(torch.__version__),  # a plain text, so that checkpoints load safely
            "threads": torch.get_num_threads(),
            "processes": self.processes.count,
            "execution": asdict(job.execution),
            **provenance.describe_code(),
        }

    def run(self) -> dict[str, Any]:
        trainer, out = self.trainer, self.job.out
        if self.checkpoint.exists():
            content = read_checkpoint(self.checkpoint, self.device)
            verify_same_run(content, self.header, self.checkpoint)
            trainer.restore(content["state"])
            self.started = datetime.fromisoformat(content["started"])
            if trainer.finished and content["test"] is not None:
                # It stays what was trained, where, and by which code.
                made_by = (MAY_DIFFER & content.keys()) - {"labels"}
                self.header |= {key: content[key] for key in made_by}
                if (
                    content.get("labels") == self.header["labels"]
                    and (out / record.CONFUSION).exists()
                ):
                    self.test, self.calibration = content["test"], content["calibration"]
        out.mkdir(parents=True, exist_ok=True)
        self.processes.wait()  # none reads a checkpoint that the first one has begun to replace
        saved = time.monotonic()

        def save_now_and_then() -> None:
            nonlocal saved
            if time.monotonic() - saved > 60 * self.job.checkpoint_minutes:
                self._save()
                saved = time.monotonic()

        while not trainer.finished:
            metrics = trainer.run_epoch(self.shows, save_now_and_then)
            if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                self._save()
                saved = time.monotonic()
            self._write_files()
            if self.processes.first:
                tqdm.write(json.dumps(metrics))
        if self.processes.first:
            if self.test is None:
                self._measure_at_the_end()
            self._save()
            self._write_files()
        self.processes.wait()
        return self._content()

    def _content(self) -> dict[str, Any]:
        return {
            **self.header,
            "started": self.started.isoformat(timespec="seconds"),
            "state": self.trainer.state(),
            "test": self.test,
            "calibration": self.calibration,
        }

    def _save(self) -> None:
        if self.processes.first:
            save_checkpoint(self.checkpoint, self._content())

    def _write_files(self) -> None:
        if not self.processes.first:
            return
        out, history = self.job.out, self.trainer.history
        (out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history))
        content = make_record(self._content(), self.job.data)
        record.write_record(out / "record.json", content)
        if history:
            write_curves([content], out / "curves.svg")

    def _measure_at_the_end(self) -> None:
        test = None if self.test_images is None else self.test_images.to(self.device)
        self.test, self.calibration, _ = measure_outcome(
            *(self.network, test, self.trainer.validation, self.preprocessing),
            *(self.job.data.labels, self.job.out / record.CONFUSION, self.shows),
        )
        if self.shows and self.test:
            tqdm.write(json.dumps({"test": self.test, "calibration": self.calibration}))


def make_record(content: Mapping[str, Any], data: DataSet) -> dict[str, Any]:
    """The record of a run, of the content of its checkpoint (models.records.record)."""
    state = content["state"]
    parts = {
        name: {"images": len(files), "sha256": content["data_sha256"][name]}
        for name, files in data.parts().items()
    }
    return {
        "format": record.FORMAT,
        "data": {
            "name": content["data"],
            "parts": parts,
            **{key: content[key] for key in _PICTURES},
        },
        **{key: content[key] for key in (*_WHAT, *_MACHINE)},
        "recipe": state["recipe"],
        "started": content["started"],
        "seconds": round(state["seconds"], 1),
        "finished": state["epoch"] >= state["recipe"]["epochs"],
        "epochs": state["history"],
        "test": content["test"],
        "calibration": content["calibration"],
        "enlarged": content.get("enlarged"),
    }


def _split(job: Job) -> tuple[dict[str, PictureFiles], int]:
    """The parts that have pictures, and how many are left out: copies of test pictures, and of
    validation pictures to train on.

    Raises DataError if a class has no other pictures.
    """
    parts = hold_back(job.data, job.recipe.validation_share).parts()
    left_out = sum(map(len, job.data.parts().values())) - sum(map(len, parts.values()))
    return {name: files for name, files in parts.items() if len(files)}, left_out


def _check_classes(files: PictureFiles, images: LabelledImages, where: str) -> None:
    """Raises DataError if a class has lost all its pictures of a part."""
    decoded = torch.bincount(images.labels, minlength=len(images.classes)).tolist()
    had = files.counts().values()
    if lost := [c for c, n, m in zip(files.classes, had, decoded, strict=True) if n and not m]:
        raise DataError(
            f"{where}: expected a picture at least of every class; all are damaged of "
            f"{', '.join(lost[:5])}. Mend or remove these files:\n  "
            + "\n  ".join(images.skipped[: DamagedPictures.SHOWN])
        )
