"""The options of the Locust files besides Locust's own."""

import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace, _ArgumentGroup
from dataclasses import fields
from pathlib import Path

from loadtests.clients.images import describe_sizes
from loadtests.command_line.options import parse_count, parse_positive
from loadtests.errors import WrongUsage
from loadtests.users.arrivals import ARRIVALS
from loadtests.users.payloads import MIXED, Payload, make_payloads
from loadtests.users.stages import SHAPES, SOAK_STAGES, SPIKE_TIMES, STEPS
from loadtests.users.tensors import build_tensor_payloads, find_model
from loadtests.users.thresholds import HELP, RAMP_P99_MS, RAMP_REFUSED, Limits

LOOPS = ("closed", "open")
SENT = ("form", "bare", "tensor")
TENSOR_COUNT = 9
SECONDS = 60.0  # of a test without -t
SOAK_SECONDS = 600.0


def add_help_option(parser: ArgumentParser) -> None:
    """Locust's --help ends before it has read the file, and so knows none of the file's options."""
    parser.add_argument(
        "--all-options",
        action="help",
        help="print all options, also those of this file, which --help omits",
    )


def add_image_options(parser: ArgumentParser, sent: tuple[str, ...] = SENT) -> None:
    """Which images are sent, and how."""
    group = parser.add_argument_group("images of the load test")
    group.add_argument(
        "--sizes",
        default=MIXED,
        metavar="SIZE[=WEIGHT],...",
        help=f"generated JPEGs: {describe_sizes()}; phone=1,web=3 sends three web images to one "
        f"phone image; or {MIXED}: small ones in JPEG, PNG and WebP (the default)",
    )
    group.add_argument("--photos", default="", metavar="DIR", help="send the files of DIR instead")
    group.add_argument(
        "--image-seed",
        "--image-seed",
        dest="image_seed",
        type=int,
        default=1,
        help="seed of generated images (1)",
    )
    group.add_argument(
        "--image-count",
        "--image-count",
        dest="image_count",
        type=int,
        help="number of generated images of each size (3; 9)",
    )
    group.add_argument("--top-k", type=int, default=5, help="number of classes in an answer (5)")
    group.add_argument(
        "--send",
        choices=sent,
        default="form",
        help="send images in a form, as a browser does (the default), or as bare files"
        + (
            "; tensor: raw FP32 tensors over the Open Inference Protocol, where the service has it"
            if "tensor" in sent
            else ""
        ),
    )
    if "tensor" in sent:
        group.add_argument(
            "--model",
            default="",
            help="model for tensors (default: the first that accepts FP32 images)",
        )


def add_load_options(parser: ArgumentParser) -> None:
    """Closed or open loop, and its shape over time."""
    group = parser.add_argument_group(
        "load",
        "Closed loop: -u users wait for their answers. Open loop: --rate requests a second are "
        "sent at intended times, without waiting for answers, and a latency counts from then. "
        f"-t is the length of the test (of shapes {SECONDS:g} s, of a soak {SOAK_SECONDS:g} s).",
    )
    group.add_argument("--loop", choices=LOOPS, default="closed", help="kind of load (closed)")
    # Of the parser itself, so that the web page shows it, too.
    parser.add_argument(
        "--rate", type=parse_positive, default=10.0, help="open loop: requests a second (10)"
    )
    group.add_argument(
        "--arrivals",
        choices=ARRIVALS,
        default="poisson",
        help="open loop: like independent callers (poisson, the default) or evenly spaced",
    )
    group.add_argument(
        "--arrival-seed", type=int, default=1, help="seed of the Poisson process (1)"
    )
    group.add_argument(
        "--shape",
        choices=SHAPES,
        default="steady",
        help=f"shape of --rate, or of -u: steady (the default); step: up to it in {STEPS} steps; "
        f"spike: {SPIKE_TIMES:g} times as much for a fifth of the time; soak: steady, reported in "
        f"{SOAK_STAGES} slices; ramp: from it upwards until --max-p99-ms ({RAMP_P99_MS:g}) or "
        f"--max-refused ({RAMP_REFUSED:g}) is broken: the last that held is the knee",
    )
    group.add_argument(
        "--ramp-factor",
        type=_parse_factor,
        default=1.25,
        help="increase from stage to stage (1.25)",
    )
    group.add_argument(
        "--stage-seconds",
        type=parse_positive,
        default=20.0,
        help="seconds of each stage of a ramp (20)",
    )


def add_threshold_options(parser: ArgumentParser) -> None:
    """Thresholds, which set the exit status, and where results go."""
    group = parser.add_argument_group(
        "thresholds and results",
        "Exit status: 0 all thresholds held, 1 one did not or nothing was answered, 2 wrong usage "
        "or no service, 3 the generator was the limit: the figures mean nothing.",
    )
    group.add_argument(
        "--thresholds", default="", metavar="FILE", help="read thresholds from a TOML file"
    )
    for item in fields(Limits):
        name = f"--{item.name.replace('_', '-')}"
        group.add_argument(name, type=_parse_limit, metavar="N", help=HELP[item.name])
    add_result_options(group)
    group.add_argument(
        "--timings-json", default="", metavar="FILE", help="the service's own timings, as JSON"
    )


def add_result_options(group: _ArgumentGroup) -> None:
    """Files of the report; Locust has a --json of its own."""
    group.add_argument("--report-json", default="", metavar="FILE", help="the report, as JSON")
    group.add_argument("--markdown", default="", metavar="FILE", help="the report, in Markdown")


def _parse_factor(text: str) -> float:
    """A number above 1; for argparse."""
    value = parse_positive(text)
    if value <= 1:
        raise ArgumentTypeError(f"expected a number above 1; found {text!r}")
    return value


def _parse_limit(text: str) -> float:
    """A number from 0 on; for argparse."""
    return 0.0 if text.strip() in {"0", "0.0"} else parse_positive(text)


def build_payloads(options: Namespace, address: str) -> list[Payload]:
    """What the options say, made now. Raises WrongUsage, FileNotFoundError, ServerFault."""
    check_outputs(options)
    if options.send == "tensor":
        model = find_model(address, options.model)
        count = options.image_count or TENSOR_COUNT
        return build_tensor_payloads(model, options.image_seed, parse_count(str(count)))
    return make_payloads(
        options.sizes,
        options.image_count,
        options.image_seed,
        options.photos,
        options.send == "form",
        options.top_k,
    )


def choose_seconds(options: Namespace) -> float:
    """How long a shape or an open loop lasts."""
    return float(options.run_time or (SOAK_SECONDS if options.shape == "soak" else SECONDS))


def check_distributed(options: Namespace, is_distributed: bool) -> None:
    """What several processes can't do together. Raises WrongUsage."""
    if is_distributed and (options.loop == "open" or options.shape == "ramp"):
        what = "--loop open" if options.loop == "open" else "--shape ramp"
        raise WrongUsage(
            f"expected one process for {what}, which holds one schedule; found --master, --worker "
            "or --processes; leave them out, or run several on their own, each with a part of "
            "--rate and its own --arrival-seed"
        )


def check_outputs(options: Namespace) -> None:
    """That files can be made where results go. Raises WrongUsage."""
    for name in ("report_json", "markdown", "timings_json"):
        path = getattr(options, name, "")
        if path and (Path(path).is_dir() or not os.access(Path(path).parent, os.W_OK | os.X_OK)):
            raise WrongUsage(
                f"expected a file in a folder that can be written for --{name.replace('_', '-')}, "
                f"found {path}; make the folder, or name another one"
            )
