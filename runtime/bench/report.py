"""Runs the sections of a report one after another, prints each and collects the figures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from runtime.bench.contestants import CONTESTANTS, EAGER, load_contestants
from runtime.bench.end_to_end import (
    format_end_to_end,
    measure_end_to_end,
)
from runtime.bench.engines import format_engines, measure_engines
from runtime.bench.exports import Exports
from runtime.bench.kernels import format_kernels, measure_kernels
from runtime.bench.layers import chosen_families, format_layers, measure_layers
from runtime.bench.limits import LimitMeter, format_limits
from runtime.bench.modern_networks import format_modern_networks, measure_modern_networks
from runtime.bench.networks import format_network, measure_network
from runtime.bench.peer_layers import format_peer_layers, measure_peer_layers
from runtime.bench.peer_networks import (
    LARQ_NETWORK,
    format_peer_networks,
    measure_peer_networks,
)
from runtime.bundle import Bundle, read_bundle
from runtime.measurement.machine import pinned, show_progress

SECTIONS = ("kernels", "layers", "networks", "engines", "end-to-end", "peers")


class Report:
    """Measures and prints; `figures` is what goes to JSON, one key a section."""

    def __init__(self, args: argparse.Namespace, exports: Exports) -> None:
        self._args, self._exports = args, exports
        self._meter = LimitMeter()
        self.figures: dict[str, Any] = {}

    def run(self, bundles: Sequence[Bundle], sections: Sequence[str]) -> None:
        """All sections; of the bundles that have a plan the layers of the last are measured.

        Raises RuntimeFault.
        """
        for section in SECTIONS:
            if section in sections:
                getattr(self, f"_run_{section.replace('-', '_')}")(bundles)
        if self._meter.has_samples:
            self.figures["limits"] = self._meter.describe()
            self._print(format_limits(self._meter.implementation, self.figures["limits"]))

    def _run_kernels(self, _: Sequence[Bundle]) -> None:
        with pinned(1, self._args.cpus) as cpus:
            kernels = measure_kernels(self._meter, self._args.runs, show_progress)
        self._print(format_kernels(kernels, cpus))
        self.figures["kernels"] = kernels

    def _run_layers(self, bundles: Sequence[Bundle]) -> None:
        with_plan = [bundle for bundle in bundles if bundle.manifest.plan]
        bundle = (with_plan or bundles)[-1]
        if not with_plan:
            self._leave_out("layers", bundle)
            return
        with pinned(1, self._args.cpus) as cpus:
            layers = measure_layers(bundle, self._meter, self._args.runs, show_progress)
        self._print(format_layers(bundle.manifest.name, layers, cpus))
        self.figures["layers"] = {"network": bundle.manifest.name, "layers": layers}

    def _run_networks(self, bundles: Sequence[Bundle]) -> None:
        self.figures["networks"] = []
        for bundle in bundles:
            if not bundle.manifest.plan:
                self._leave_out("networks", bundle)
                continue
            wanted = EAGER in (self._args.engine or CONTESTANTS)
            result = measure_network(
                bundle,
                self._meter,
                runs=self._args.runs,
                eager=wanted and not load_contestants(bundle, [EAGER], 1)[1],
                cpus=self._args.cpus,
                progress=show_progress,
            )
            self._print(format_network(result))
            self.figures["networks"].append(result)

    def _run_engines(self, bundles: Sequence[Bundle]) -> None:
        self.figures["engines"] = []
        for bundle in bundles:
            with pinned(self._args.threads, self._args.cpus):
                result = measure_engines(
                    bundle,
                    self._args.engine or CONTESTANTS,
                    threads=self._args.threads,
                    batch=self._args.batch,
                    runs=self._args.runs,
                    memory=not self._args.no_memory,
                    progress=show_progress,
                )
            self._print(format_engines(result))
            self.figures["engines"].append(result)

    def _run_peers(self, _: Sequence[Bundle]) -> None:
        layers = measure_peer_layers(
            chosen_families(self._exports(LARQ_NETWORK)),
            self._args.interpreters,
            runs=self._args.runs,
            cpus=self._args.cpus,
            progress=show_progress,
        )
        self._print(format_peer_layers(layers))
        self.figures["peers"] = {"layers": layers}
        reports = {
            "networks": (measure_peer_networks, format_peer_networks),
            "modern": (measure_modern_networks, format_modern_networks),
        }
        for name, (measure, show) in reports.items():
            result = measure(
                self._exports,
                self._args.folder,
                self._args.interpreters,
                threads=self._args.threads,
                batch=self._args.batch,
                runs=self._args.runs,
                cpus=self._args.cpus,
                progress=show_progress,
            )
            self._print(show(result))
            self.figures["peers"][name] = result

    def _run_end_to_end(self, bundles: Sequence[Bundle]) -> None:
        with pinned(1, self._args.cpus) as cpus:
            result = measure_end_to_end(
                bundles[0],
                self._open_mobilenet(),
                self._args.interpreters,
                folder=self._args.folder,
                runs=self._args.runs,
                progress=show_progress,
            )
        self._print(format_end_to_end(result, cpus))
        self.figures["end_to_end"] = result

    def _open_mobilenet(self) -> Bundle:
        """MobileNet-v1 0.25 of 128 pixels: that of --mobilenet, else with random weights."""
        folder = self._args.mobilenet
        return self._exports("mobilenet_v1_0.25", 128) if folder is None else read_bundle(folder)

    def _leave_out(self, section: str, bundle: Bundle) -> None:
        self._print(
            f"{section} of {bundle.manifest.name} not measured: its bundle has no plan of layer "
            "groups, only an ONNX graph"
        )

    def _print(self, text: str) -> None:
        show_progress("")
        print(f"\n{text}", flush=True)
