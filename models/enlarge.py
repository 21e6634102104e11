"""Makes a trained network one for larger pictures than it was trained on.

python -m models.enlarge RUN --data DIR --image-size SIDE --out RUN2: things look larger in the
random crops of a training than in the centre crop of a photo, so that networks do well on somewhat
larger pictures than they have learned from (Touvron et al. 2019, "Fixing the train-test resolution
discrepancy"), once their batch norms know these. Means and variances are estimated anew on training
pictures of the new size, seen as photos are; all weights stay. Then the temperature is fitted and
the test part measured, as at the end of a training. RUN2 gets checkpoint.pt, to export from,
confusion.csv, and record.json, which says what it was made of. Compare both on the validation
pictures: validation_top1 of the last epoch, and "validation" of what this command prints.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

from models.augmentation import normalize
from models.checkpoint import (
    CHECKPOINT,
    build_trained,
    find_checkpoint,
    is_finished,
    read_checkpoint,
    save_checkpoint,
)
from models.data import LabelledImages, decode_pictures
from models.datasets import DataSet, open_data_set
from models.errors import CheckpointMismatch, RecipeError, TrainingFault
from models.known_sets import NAMES
from models.outcome import measure_outcome
from models.own_photos import open_photos
from models.preprocessing import check_sizes
from models.record import CONFUSION, describe_code, describe_device, write_record
from models.run import RECORDED, make_record
from models.splits import hold_back
from runtime.images import Preprocessing

PICTURES = 3000  # to estimate means and variances on
BATCH = 100
SEED = 123


@torch.no_grad()
def estimate_batch_norms(
    network: nn.Module, images: LabelledImages, preprocessing: Preprocessing
) -> None:
    """Sets the means and variances of all batch norms to those of `images`, in eval mode after.

    Each is the mean over batches of about BATCH pictures; the pictures come in a random order.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # all batches count alike
    network.train()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))
    for part in order.chunk(-(-len(images) // BATCH)):
        network(normalize(images.pixels[part], preprocessing))
    network.eval()


def enlarge(
    content: Mapping[str, Any],
    data: DataSet,
    preprocessing: Preprocessing,
    table: Path,
    progress: bool = False,
) -> dict[str, Any]:
    """The content of a checkpoint for `preprocessing`.

    content: of a finished training's checkpoint. Writes the confusion table, a .csv file. Raises
    CheckpointMismatch if the training has not ended, or was on other pictures; RecipeError if its
    pictures were as large; DataError.
    """
    if lacking := sorted(RECORDED - content.keys()):
        raise CheckpointMismatch(
            f"expected a checkpoint of a whole training; it lacks {', '.join(lacking)}. Train anew "
            "with this code."
        )
    if content.get("enlarged"):
        raise CheckpointMismatch(
            "expected the run of a training; found one that models.enlarge made. Give the run that "
            "it was made of."
        )
    if not is_finished(content):
        raise CheckpointMismatch(
            "expected a training that has run through its recipe; found one that has not. Let it "
            "finish (models.train --resume)."
        )
    trained = content["preprocessing"]
    if preprocessing.crop <= trained["crop"]:
        raise RecipeError(
            f"expected --image-size above the {trained['crop']} pixels that the network was "
            f"trained on; found {preprocessing.crop}"
        )
    if {name: part.sha256() for name, part in data.parts().items()} != content["data_sha256"]:
        raise CheckpointMismatch(
            f"expected the pictures that the network was trained on ({content['data']}); found "
            "others. Give the same data."
        )
    parts = hold_back(data, content["state"]["recipe"]["validation_share"])
    generator = torch.Generator().manual_seed(SEED)
    chosen = torch.randperm(len(parts.train), generator=generator)[:PICTURES]
    files = {
        "train": parts.train.select(sorted(chosen.tolist())),
        "validation": parts.validation,
        "test": parts.test,
    }
    images = {
        name: decode_pictures(
            part,
            preprocessing,
            title=f"decoding {name}",
            progress=progress,
            skip_damaged=bool(content["skipped"]),  # those that the training left out
        )
        for name, part in files.items()
        if part is not None and len(part)
    }
    network = build_trained(content)
    estimate_batch_norms(network, images["train"], preprocessing)
    test, calibration, seen = measure_outcome(
        *(network, images.get("test"), images.get("validation"), preprocessing),
        *(content["labels"], table),
        progress=progress,
    )
    return {
        **content,
        "preprocessing": asdict(preprocessing),
        "state": {**content["state"], "model": network.state_dict()},
        "test": test,
        "calibration": calibration,
        "enlarged": {
            "from": trained,
            "train_images": len(images["train"]),
            "validation": seen,
            "device": describe_device(torch.device("cpu")),
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
            **describe_code(),
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.enlarge",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run's folder")
    pictures = parser.add_mutually_exclusive_group(required=True)
    pictures.add_argument("--data", type=Path, help="what it was trained on")
    pictures.add_argument("--folder", type=Path, help="own photos that it was trained on")
    parser.add_argument("--set", choices=NAMES, help="what DATA is a copy of; checks its counts")
    parser.add_argument("--image-size", type=int, required=True, help="side of the new input")
    parser.add_argument(
        "--resize", type=int, help="shorter side before the crop (default: as before, scaled)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the new run")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    args = parser.parse_args(arguments)
    try:
        figures = _run(args)
    except (TrainingFault, OSError) as error:
        print(f"models.enlarge: {error}", file=sys.stderr)
        return 2
    print(json.dumps(figures, indent=1))
    return 0


def _run(args: argparse.Namespace) -> dict[str, Any]:
    if args.out.exists() and any(args.out.iterdir()):
        raise CheckpointMismatch(f"expected --out to be a new folder; {args.out} has files in it")
    content = read_checkpoint(find_checkpoint(args.run))
    trained = Preprocessing(**content["preprocessing"])
    side = args.image_size
    scaled = round(side * trained.resize / trained.crop)
    resize = scaled if args.resize is None else args.resize
    check_sizes(side, resize)
    larger = replace(trained, resize=resize, crop=side)
    if args.folder is None:
        data = open_data_set(args.data, args.set)
    else:
        data = open_photos(args.folder, content["state"]["recipe"]["validation_share"])
    args.out.mkdir(parents=True, exist_ok=True)
    table = args.out / CONFUSION
    made = enlarge(content, data, larger, table, progress=not args.quiet)
    write_record(args.out / "record.json", make_record(made, data))
    save_checkpoint(args.out / CHECKPOINT, made)
    if not args.quiet:
        tqdm.write(f"{args.out}: {content['network']} for {side}x{side} pixels")
    figures = {key: made[key] for key in ("test", "calibration")}
    return {"validation": made["enlarged"]["validation"], **figures}


if __name__ == "__main__":
    sys.exit(main())
