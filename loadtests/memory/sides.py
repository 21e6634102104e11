"""Whose memory `loadtests.memory` measures: the service by engine and network, and its peers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtests.errors import WrongUsage
from loadtests.servers.contestants import PEERS, describe_peer
from loadtests.servers.server import ServerSpec, describe_service

#: The services: with which engine, and whether with MobileNet instead of the binary network.
_SERVICES = {
    "native": ("native", False),
    "onnx": ("onnx", False),
    "torchscript": ("torchscript", False),
    "onnx-mobilenet": ("onnx", True),
}
SERVICES = tuple(_SERVICES)
SLIM = "native"
NAMES = (*SERVICES, *PEERS)
_PATIENCE = {"BNN_DEADLINE_MS": "60000"}  # slow engines refuse nobody: all hold as many bodies


@dataclass(frozen=True)
class Networks:
    """The bundles: of the binary network, and of the MobileNet beside it."""

    binary: Path
    mobilenet: Path


@dataclass(frozen=True)
class Side:
    """A server to measure. `engine` is None for a peer, which tells nothing of its parts."""

    name: str
    spec: ServerSpec
    bundle: Path
    form: bool = False
    engine: str | None = None


def describe_side(
    name: str, python: str, folder: Path, networks: Networks, environment: Mapping[str, str]
) -> Side:
    """A side by its name; `environment` is that of services alone. Raises WrongUsage."""
    if name in _SERVICES:
        engine, is_mobilenet = _SERVICES[name]
        bundle = _require(networks.mobilenet if is_mobilenet else networks.binary)
        chosen = {**_PATIENCE, **environment, "BNN_BUNDLE": str(bundle), "BNN_ENGINE": engine}
        spec = describe_service(name, python, folder, chosen)
        return Side(name, spec, bundle, engine=engine)
    bundle = _require(networks.mobilenet)
    peer = describe_peer(name, bundle)
    # The allocator as the peer has it: its settings are a part of what memory it takes.
    own = {k: v for k, v in peer.spec.environment.items() if not k.startswith("MALLOC_")}
    spec = ServerSpec(name, peer.spec.command, peer.spec.folder, own, peer.spec.ready_path)
    return Side(name, spec, bundle, peer.form)


def _require(bundle: Path) -> Path:
    if not (bundle / "manifest.json").is_file():
        raise WrongUsage(
            f"expected a bundle, found no manifest.json in {bundle}; make one with "
            "'python -m models.export' or 'python -m models.import_tflite'"
        )
    return bundle.resolve()
