"""One training from images to figures: decodes, trains, measures, writes the run's folder.

In it: checkpoint.pt (written every few minutes and after each epoch), metrics.jsonl (a line per
epoch), record.json, curves.svg and, at the end, confusion.csv.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime

from models.command_line.figures import tell_figures
from models.data.decoded import LabelledImages
from models.errors import CheckpointMismatch
from models.evaluation.final import FinalFigures, measure_final
from models.networks.meliusnet import use_kernels
from models.plots.curves import write_curves
from models.records.record import CONFUSION, RECORD, Record, write_record
from models.records.training_run import Header, TrainingRun
from models.records.typed_json import as_json, fields_of
from models.training.bundle_weights import draw_batches, measure_batch_norms
from models.training.checkpoint import (
    CHECKPOINT,
    MAY_DIFFER,
    Checkpoint,
    read_checkpoint,
    save_checkpoint,
    verify_same_run,
)
from models.training.distributed import Processes, device_of, prepare
from models.training.images import decode_splits, describe_splits
from models.training.job import Job
from models.training.linear_probe import fit_last_layer, take_enough
from models.training.setup import describe_job, find_targets, relabel, set_up
from models.training.trainer import Trainer

SECONDS_BETWEEN_SAVES = 10  # at least, where epochs are short


def run_training(job: Job, processes: Processes | None = None) -> Checkpoint:
    """Trains to the end, or goes on; returns the last checkpoint.

    Raises TrainingFault.
    """
    processes = processes or Processes()
    device = device_of(job.device, processes)
    prepare(device)
    begun = (job.out / CHECKPOINT).exists()
    if begun and not job.resume:
        raise CheckpointMismatch(
            f"{job.out / CHECKPOINT} exists; give --resume to go on from it, or another --out"
        )
    if job.recipe.epochs:
        processes.check_batch(job.recipe.batch)
    setup = set_up(job, device)
    splits = describe_splits(job.data)
    if job.teachers_classes is not None:
        splits.pop("test", None)  # the data's own, whose classes the student does not have
        if job.teachers_classes.test_split is not None:
            splits["test"] = job.teachers_classes.test_split
    shows = job.progress and processes.first
    images = decode_splits(job, setup.preprocessing, setup.stored_side, shows)
    images = relabel(job, setup, images, shows)
    train = images.train.to(device)
    if job.execution.kernels:
        use_kernels(setup.network)
    if setup.start and not setup.start.measured and not begun:
        measure_batch_norms(setup.network, draw_batches(train, setup.preprocessing))
    if setup.fits_last_layer and not begun:
        seen = take_enough(train) if job.recipe.epochs else train
        fit_last_layer(setup.network, seen, setup.preprocessing, shows)
    targets = find_targets(job, setup, images.train)
    trainer = Trainer(
        setup.network,
        train,
        images.validation.to(device) if images.validation else None,
        job.recipe,
        setup.preprocessing,
        execution=job.execution,
        processes=processes,
        teacher=setup.teacher,
        targets=targets.to(device) if targets is not None else None,
    )
    header = describe_job(job, setup, images, splits, device, processes)
    test = images.test.to(device) if images.test else None
    return _Run(job, trainer, header, test, shows).run()


class _Run:
    """The folder of a run, kept up to date while its trainer works."""

    def __init__(
        self,
        job: Job,
        trainer: Trainer,
        header: Header,
        test_images: LabelledImages | None,
        shows: bool,
    ) -> None:
        self.job, self.trainer, self.header = job, trainer, header
        self.test_images, self.shows = test_images, shows
        self.checkpoint = job.out / CHECKPOINT
        self.started = datetime.now(UTC).isoformat(timespec="seconds")
        self.final: FinalFigures | None = None

    def run(self) -> Checkpoint:
        """Goes on from a checkpoint, if there is one, to the end."""
        trainer, processes = self.trainer, self.trainer.processes
        if self.checkpoint.exists():
            self._resume()
        self.job.out.mkdir(parents=True, exist_ok=True)
        processes.wait()  # none reads a checkpoint that the first one has begun to replace
        saved = time.monotonic()

        def save_now_and_then() -> None:
            nonlocal saved
            if time.monotonic() - saved > 60 * self.job.checkpoint_minutes:
                self._save()
                saved = time.monotonic()

        while not trainer.finished:
            metrics = trainer.run_epoch(self.shows, save_now_and_then)
            draws = time.monotonic() - saved > SECONDS_BETWEEN_SAVES
            if draws:
                self._save()
                saved = time.monotonic()
            self._write_files(draws)
            if processes.first:
                tell_figures(as_json(metrics))
        if processes.first:
            if self.final is None:
                self._measure_at_the_end()
            self._save()
            self._write_files()
        processes.wait()
        return self._content()

    def _resume(self) -> None:
        old = read_checkpoint(self.checkpoint, self.trainer.device)
        verify_same_run(old, self.header, self.checkpoint)
        self.trainer.restore(old.state)
        self.started = old.started
        if self.trainer.finished and old.test is not None:
            # It stays what was trained, where, and by which code.
            made_by = {name: getattr(old, name) for name in MAY_DIFFER}
            self.header = replace(self.header, **made_by)
            same_labels = old.data.labels == self.header.data.labels
            if same_labels and (self.job.out / CONFUSION).exists():
                self.final = FinalFigures(old.test, old.calibration, None)

    def _content(self) -> Checkpoint:
        return Checkpoint(
            **fields_of(Header, self.header),
            started=self.started,
            state=self.trainer.state(),
            test=self.final.test if self.final else None,
            calibration=self.final.calibration if self.final else None,
        )

    def _save(self) -> None:
        if self.trainer.processes.first:
            save_checkpoint(self.checkpoint, self._content())

    def _write_files(self, draws: bool = True) -> None:
        if not self.trainer.processes.first:
            return
        out, history = self.job.out, self.trainer.history
        lines = [json.dumps(as_json(metrics)) + "\n" for metrics in history]
        (out / "metrics.jsonl").write_text("".join(lines))
        record = make_record(self._content())
        write_record(out / RECORD, record)
        if history and draws:
            write_curves([record], out / "curves.svg")

    def _measure_at_the_end(self) -> None:
        trainer = self.trainer
        self.final = measure_final(
            *(trainer.network, self.test_images, trainer.validation, trainer.preprocessing),
            *(self.job.labels, self.job.out / CONFUSION, self.shows),
        )
        if self.shows and self.final.test:
            calibration = self.final.calibration
            figures = {"test": as_json(self.final.test)}
            tell_figures({**figures, "calibration": as_json(calibration) if calibration else None})


def make_record(checkpoint: Checkpoint) -> Record:
    """The record of the run that has come to a checkpoint."""
    progress = checkpoint.state.progress
    return Record(
        **fields_of(TrainingRun, checkpoint),
        recipe=asdict(progress.recipe),
        seconds=round(progress.seconds, 1),
        finished=checkpoint.finished,
        epochs=progress.history,
    )
