"""Counts of a network, measured on the real modules: python -m models.summary NAME [--json].

parameters; packed_bytes (binary weights at one bit, the rest as float32, as the authors count their
sizes); binary_macs and float_macs for one image; binary_convs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import torch

from models.command_line.main import make_parser
from models.networks.counts import count
from models.networks.registry import NAMES, build_network, default_image_size


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.summary", __doc__)
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--num-classes", type=int, default=1000)
    parser.add_argument("--image-size", type=int, help="side of the input (default: the network's)")
    parser.add_argument("--stem", help="another stem: grouped, imagenet7x7, thumbnail, small")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args(arguments)
    if args.num_classes < 1:
        parser.error(f"expected --num-classes of at least 1; found {args.num_classes}")
    try:
        changes = {"stem": args.stem} if args.stem else {}
        with torch.device("meta"):
            network = build_network(args.name, args.num_classes, **changes)
    except (ValueError, TypeError) as error:
        parser.error(str(error))
    size = default_image_size(network) if args.image_size is None else args.image_size
    try:
        counts = asdict(count(network, size))
    except RuntimeError as error:
        parser.error(f"expected an --image-size that {args.name} can divide; found {size}: {error}")
    if args.json:
        print(json.dumps({"name": args.name, "image_size": size, **counts}))
        return 0
    print(f"{args.name}, {args.num_classes} classes, {size} x {size} pixels")
    for name, value in counts.items():
        mib = f"  ({value / 2**20:.2f} MiB)" if name == "packed_bytes" else ""
        print(f"  {name:<14}{value:>17,}{mib}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
