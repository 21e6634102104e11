"""Writes a bundle: python -m models.export NAME [--checkpoint F] [--num-classes N] [--image-size S]
[--float-parts int8 [--calibration DIR] [--evaluation DIR]] --out DIR.

With a checkpoint of models.train the network, classes and preprocessing come from it. Without one
the weights are random and the bundle says "trained": false: good for measuring speed and memory,
never for answers. --float-parts int8 gives stem, transitions and head 8-bit weights and
activations; the manifest then says how much that changes the logits.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import nn

from models.checkpoint import build_trained, is_finished, read_checkpoint
from models.convert import Converted, calibrate, convert_network
from models.data import LabelledImages, decode_pictures
from models.datasets import open_data_set
from models.errors import DataError
from models.evaluate import measure_accuracy
from models.known_sets import NAMES as DATA_SETS
from models.meliusnet import MeliusNet
from models.mobilenet_graph import build_mobilenet_graph
from models.onnx_graph import build_graph
from models.parity import PARITY_INPUTS, SEED, compare_logits, measure_parity, parity_inputs
from models.preprocessing import evaluation_preprocessing
from models.quantize import (
    PICTURES,
    Calibration,
    load_calibration,
    measure_ranges,
    quantize,
    quantized_layers,
)
from models.stored_answers import add_self_test
from models.zoo import NAMES, Network, build_network, default_image_size
from runtime import Bundle, Manifest, Preprocessing, RuntimeFault, load_engine
from runtime.bundle import ONNX_GRAPH, TORCHSCRIPT_GRAPH, WEIGHTS, write_bundle
from runtime.engines.reference import FloatNetwork
from runtime.plan import ARITHMETICS, Plan

NOISE_INPUTS = 16  # that untrained networks are calibrated with


def write_files(converted: Converted, name: str, folder: Path, onnx_integer: bool) -> list[str]:
    """Writes weights and graphs of a packed network into `folder`; returns the files' names."""
    # Here, because it loads the operator library, which MobileNet does without.
    from runtime.engines.layers import save_network, script_network

    save_file(converted.tensors, folder / WEIGHTS)
    onnx.save(
        build_graph(converted.plan, folder / WEIGHTS, name, onnx_integer), folder / ONNX_GRAPH
    )
    save_network(script_network(converted.plan), folder / TORCHSCRIPT_GRAPH)
    return [WEIGHTS, ONNX_GRAPH, TORCHSCRIPT_GRAPH]


def quantize_network(
    network: nn.Module,
    converted: Converted,
    calibration: Calibration,
    images: NDArray[np.float32],
) -> tuple[Converted, dict[str, Any]]:
    """The network with 8-bit float parts, and what the manifest says of it: layers, calibration,
    and how far the logits of `images` move from the training graph's.
    """
    quantized = quantize(converted, measure_ranges(converted, calibration.images))
    twin = FloatNetwork(quantized.plan, quantized.tensors)
    with torch.no_grad():
        logits, expected = (net(torch.from_numpy(images)).numpy() for net in (twin, network))
    return quantized, {
        "float_parts": "int8",
        "layers": quantized_layers(quantized.plan),
        "calibration": calibration.record(),
        "change": compare_logits(logits, expected),
    }


def export_bundle(
    network: Network,
    out: Path,
    labels: Sequence[str],
    preprocessing: Preprocessing,
    training: dict[str, Any] | None,
    parity_count: int = PARITY_INPUTS,
    onnx_integer: bool = False,
    temperature: float = 1.0,
    calibration: Calibration | None = None,
    evaluation: LabelledImages | None = None,
    self_test: bool = True,
) -> Bundle:
    """Converts, writes, measures parity with every engine that runs here, records it in the
    manifest, and adds a self-test that all of them pass, unless self_test is False.

    With calibration, the float parts become 8-bit ones, and parity is that with the 8-bit network
    in float arithmetic; evaluation: pictures to measure accuracy on. Raises ConversionError,
    EngineUnavailable (no operator library to script the graph with, or WrongAnswer), BundleError.
    """
    size = preprocessing.crop
    manifest = Manifest(
        name=network.spec.name,
        architecture=asdict(network.spec),
        input=(3, size, size),
        preprocessing=preprocessing,
        labels=tuple(labels),
        plan=Plan(),
        files={},
        trained=training is not None,
        training=training,
        temperature=temperature,
        created={
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "onnx": onnx.__version__,
        },
    )
    images = parity_inputs(manifest.input, parity_count)
    twin: nn.Module = network.eval()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if isinstance(network, MeliusNet):
            converted = convert_network(network, size)
            if calibration is not None:
                converted, record = quantize_network(network, converted, calibration, images)
                manifest = replace(manifest, quantization=record)
                twin = FloatNetwork(converted.plan, converted.tensors)
            manifest = replace(manifest, plan=converted.plan)
            names = write_files(converted, manifest.name, folder, onnx_integer)
        elif calibration is None:
            onnx.save(build_mobilenet_graph(network, size, manifest.name), folder / ONNX_GRAPH)
            names = [ONNX_GRAPH]
        else:
            raise ValueError(
                f"expected a network with binary layers for 8-bit float parts, found "
                f"{manifest.name}, all of which is float; leave --float-parts out"
            )
        files = {name: folder / name for name in names}
        draft = write_bundle(folder / "draft", manifest, files)
        manifest = replace(manifest, parity=measure_parity(twin, draft, images))
        if manifest.quantization is not None and evaluation is not None:
            accuracy = measure_accuracy(load_engine(draft), evaluation)
            manifest = replace(
                manifest, quantization={**manifest.quantization, "accuracy": accuracy}
            )
        if self_test:
            files = add_self_test(manifest, files, folder)
        return write_bundle(out, manifest, files)


def load_checkpoint(path: Path, name: str) -> dict[str, Any]:
    """The content of a checkpoint of models.train.

    Raises ValueError if it is of another network.
    """
    content = read_checkpoint(path)
    if content["network"] != name:
        raise ValueError(f"{path} holds {content['network']}, not {name}; give its own name")
    return content


def export_checkpoint(
    content: dict[str, Any],
    out: Path,
    parity_count: int = PARITY_INPUTS,
    onnx_integer: bool = False,
    calibration: Calibration | None = None,
    evaluation: LabelledImages | None = None,
) -> Bundle:
    """`export_bundle` of a checkpoint's content. Raises as that does."""
    return export_bundle(
        build_trained(content),
        out,
        content.get("labels", content["classes"]),
        Preprocessing(**content["preprocessing"]),
        training_record(content),
        parity_count,
        onnx_integer,
        (content.get("calibration") or {}).get("temperature", 1.0),
        calibration,
        evaluation,
    )


def training_record(content: dict[str, Any]) -> dict[str, Any]:
    """What the manifest says of the training."""
    more = ("classes", "data_sha256", "teacher", "start", "commit", "calibration", "enlarged")
    return {
        "data": content["data"],
        "train_images": content["train_images"],
        **{key: content[key] for key in more if content.get(key) is not None},
        "recipe": content["state"]["recipe"],
        "epochs_done": content["state"]["epoch"],
        "finished": is_finished(content),
        "seconds": round(content["state"]["seconds"]),
        "device": content["device"],
        "torch": content["torch"],
        "accuracy": content["test"],
    }


def _at_least_1(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, found {value}")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m models.export", description=__doc__)
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--checkpoint", type=Path, help="checkpoint.pt of models.train")
    parser.add_argument(
        "--unfinished", action="store_true", help="export a training that has not run through"
    )
    parser.add_argument("--num-classes", type=int, help="untrained only (default 1000)")
    parser.add_argument(
        "--image-size", type=_at_least_1, help="side of the input (default: the network's)"
    )
    parser.add_argument(
        "--no-self-test",
        action="store_true",
        help="untrained only, for measuring: store no images and answers. Random weights may hang "
        "on rounding at every image",
    )
    parser.add_argument("--parity-inputs", type=_at_least_1, default=PARITY_INPUTS)
    parser.add_argument(
        "--onnx-integer", action="store_true", help="8-bit ConvInteger in the ONNX graph, not Conv"
    )
    parser.add_argument(
        "--float-parts",
        choices=ARITHMETICS,
        default=ARITHMETICS[0],
        help="arithmetic of stem, transitions and head",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        help="int8: data set whose training pictures the levels are fitted to (untrained: noise)",
    )
    parser.add_argument(
        "--calibration-images", type=_at_least_1, help=f"int8: how many (default {PICTURES})"
    )
    parser.add_argument(
        "--evaluation", type=Path, help="int8: data set to measure the accuracy on, test/ or val/"
    )
    parser.add_argument("--set", choices=DATA_SETS, help="int8: what both of them are copies of")
    parser.add_argument("--out", type=Path, required=True, help="directory of the bundle")
    args = parser.parse_args(arguments)
    try:
        bundle = _export(args)
    except (OSError, ValueError, RuntimeError, RuntimeFault) as error:
        print(f"models.export: {error}", file=sys.stderr)
        return 2
    print(
        f"{bundle.path}: {bundle.manifest.name}{'' if bundle.manifest.trained else ' (untrained)'}"
    )
    for name, entry in bundle.manifest.files.items():
        print(f"  {name:<20}{entry.bytes:>12,} bytes")
    if bundle.manifest.quantization:
        print(f"  8-bit float parts  {bundle.manifest.quantization}")
    for name, figures in bundle.manifest.parity.items():
        print(f"  parity {name:<13}{figures}")
        if figures.get("top1_agreement", 1) < 1:
            print(
                f"models.export: warning: {name} answers otherwise than the training graph on some "
                "inputs; expected only where two classes are almost equal",
                file=sys.stderr,
            )
    return 0


def _export(args: argparse.Namespace) -> Bundle:
    if args.checkpoint:
        if args.no_self_test:
            raise ValueError(
                "expected --no-self-test without --checkpoint, found both: a trained network has a "
                "self-test; leave --no-self-test out"
            )
        content = load_checkpoint(args.checkpoint, args.name)
        classes, side = len(content["classes"]), content["preprocessing"]["crop"]
        if args.num_classes not in (None, classes):
            raise ValueError(f"the checkpoint has {classes} classes, not {args.num_classes}")
        if args.image_size not in (None, side):
            raise ValueError(f"the checkpoint is for {side} pixels, not {args.image_size}")
        if not is_finished(content) and not args.unfinished:
            raise ValueError(
                f"{args.checkpoint} is of a training that has done {content['state']['epoch']} of "
                f"{content['state']['recipe']['epochs']} epochs; let it finish (models.train "
                "--resume), or give --unfinished, which the manifest will say"
            )
        preprocessing = Preprocessing(**content["preprocessing"])
        calibration, evaluation = _load_pictures(args, preprocessing)
        return export_checkpoint(
            *(content, args.out, args.parity_inputs, args.onnx_integer),
            *(calibration, evaluation),
        )
    torch.manual_seed(SEED)
    network = build_network(args.name, args.num_classes or 1000)
    size = default_image_size(network) if args.image_size is None else args.image_size
    calibrate(network, size)
    labels = [f"class {i}" for i in range(network.num_classes)]
    preprocessing = evaluation_preprocessing(size)
    calibration, evaluation = _load_pictures(args, preprocessing)
    return export_bundle(
        *(network, args.out, labels, preprocessing, None, args.parity_inputs, args.onnx_integer),
        self_test=not args.no_self_test,
        calibration=calibration,
        evaluation=evaluation,
    )


def _load_pictures(
    args: argparse.Namespace, preprocessing: Preprocessing
) -> tuple[Calibration | None, LabelledImages | None]:
    """What 8-bit float parts are calibrated with and measured on."""
    if args.float_parts == ARITHMETICS[0]:
        if args.calibration or args.evaluation or args.calibration_images or args.set:
            raise ValueError(
                "--calibration, --calibration-images, --evaluation and --set are for --float-parts "
                "int8; found float32"
            )
        return None, None
    wanted = args.calibration_images or PICTURES
    if args.calibration:
        calibration = load_calibration(args.calibration, preprocessing, wanted, args.set)
    elif args.checkpoint:
        raise ValueError(
            "expected --calibration DIR with training pictures for the 8-bit parts of a trained "
            "network, found none; give the data set that it was trained on"
        )
    else:
        side = preprocessing.crop
        count = min(wanted, NOISE_INPUTS)
        calibration = Calibration(parity_inputs((3, side, side), count, SEED + 1), "noise")
    if args.evaluation is None:
        return calibration, None
    files = open_data_set(args.evaluation, args.set, needs_train=False).test
    if files is None:
        raise DataError(f"{args.evaluation}: expected test/ or val/ in it; found neither")
    return calibration, decode_pictures(files, preprocessing, progress=True)


if __name__ == "__main__":
    sys.exit(main())
