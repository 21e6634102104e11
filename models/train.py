"""Trains a network: python -m models.train --config FILE.toml, or with options alone.

  python -m models.train NETWORK --data DIR [--set NAME] --out RUN      a data set
  python -m models.train --folder PHOTOS --out BUNDLE                   your own photos, to serve

DIR has train/ and, for the final measurement, test/ or val/, each with a sub-folder per class, or
the same as packs (models.data). PHOTOS has a sub-folder per class; all other options have defaults
that fit the number of photos, and at the end BUNDLE is written: make serve BNN_BUNDLE=BUNDLE.
Options override the file, whose keys are the options' names. --resume continues from the last
checkpoint, exactly. Several processes: torchrun --standalone --nproc-per-node N -m models.train ...
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence

import torch

from models.command_line.main import FAILED, FAULTS, INTERRUPTED, tell_fault
from models.data.image_folder import (
    find_run_folder,
)
from models.evaluation.final import MIN_IMAGES
from models.export.bundle import export_checkpoint
from models.records.provenance import describe_device
from models.training.checkpoint import CHECKPOINT
from models.training.distributed import Processes, device_of, join_processes
from models.training.options import choose_device, make_job, parse_arguments
from models.training.run import run_training


def train(args: argparse.Namespace) -> None:
    """Runs what the command line asks for. Raises TrainingFault."""
    with join_processes(choose_device(args)) as processes:
        _train(args, processes)


def _train(args: argparse.Namespace, processes: Processes) -> None:
    job = make_job(args)
    if args.threads:
        torch.set_num_threads(args.threads)
    if processes.first and not args.quiet:
        device = describe_device(device_of(job.device, processes))
        plural = "es" if processes.count > 1 else ""
        print(f"models.train: on {device}, {processes.count} process{plural}", file=sys.stderr)
        if job.recipe.mixed_precision and job.device == "cpu" and not _has_fast_bfloat16():
            print(
                "models.train: expected AVX-512 for --mixed-precision on this CPU; found "
                f"{torch.backends.cpu.get_cpu_capability()}, with which bfloat16 takes several "
                "times as long as float32. Give --no-mixed-precision.",
                file=sys.stderr,
            )
    checkpoint = run_training(job, processes)
    calibration = checkpoint.calibration
    if calibration and not calibration.fitted and processes.first and not args.quiet:
        print(
            "models.train: the scores are not calibrated: expected at least "
            f"{MIN_IMAGES} validation images to fit a temperature, found {calibration.images}. "
            "The temperature stays 1; add images, or hold a larger share back "
            "(--validation-share).",
            file=sys.stderr,
        )
    if args.folder is not None and processes.first:
        bundle, test = export_checkpoint(checkpoint, args.out), checkpoint.test
        assert test is not None  # a fifth of each class is held back
        print(
            f"{bundle.path}: {len(bundle.manifest.labels)} classes, top-1 "
            f"{test.top1} % of {test.images} photos held back. "
            f"Serve it: make serve BNN_BUNDLE={args.out}",
            file=None if sys.stdout.isatty() else sys.stderr,  # where the figures are JSON
        )


def _has_fast_bfloat16() -> bool:
    """Whether PyTorch has kernels for bfloat16 on this CPU; ARM's count as fast."""
    is_arm = platform.machine() in ("aarch64", "arm64")
    return is_arm or torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def _describe_interruption(args: argparse.Namespace) -> str:
    if args.out is not None:
        run = args.out if args.folder is None else find_run_folder(args.out)
        if (run / CHECKPOINT).exists():
            return f"interrupted; --resume continues from the last checkpoint in {run}"
    return "interrupted before the first checkpoint; start it again"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    try:
        args = parse_arguments(arguments, __doc__)
        try:
            train(args)
        except KeyboardInterrupt:
            print(f"models.train: {_describe_interruption(args)}", file=sys.stderr)
            return INTERRUPTED
    except FAULTS as error:
        tell_fault("models.train", error)
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
