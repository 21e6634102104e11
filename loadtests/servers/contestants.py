"""What `loadtests.overhead` compares: services and peers, each with its own bare loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.errors import WrongUsage
from loadtests.servers.server import HOST, ROOT, ServerSpec

REMEDY = "install it with 'make serving-peers'"
#: The same for everything that is compared, so that chance does not decide. Depending on the heap,
#: glibc's allocator gives blocks of an image back to the system and asks for them again; the
#: service tells it not to, so the loop beside it must do the same. libjpeg-turbo's AVX2 code writes
#: past the cache if a row happens to be aligned to 32 bytes: then a process is a quarter slower.
EVEN = {
    "MALLOC_MMAP_THRESHOLD_": str(8 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(32 * 2**20),
    "JSIMD_FORCESSE2": "1",
}


@dataclass(frozen=True)
class Contestant:
    """A server, whether it wants a form, and the interpreter that runs its bare loop."""

    spec: ServerSpec
    form: bool
    bare_kind: str  # of loadtests.overhead.bare_loop
    is_peer: bool = False

    @property
    def name(self) -> str:
        """As tables have it."""
        return self.spec.name

    @property
    def python(self) -> str:
        """Its interpreter."""
        return self.spec.command[0]


@dataclass(frozen=True)
class _Peer:
    arguments: Sequence[str]
    ready_path: str
    form: bool
    package: str  # whose environment it runs in, and whose module it is
    environment: Mapping[str, str] = field(default_factory=dict)


def _describe_fastapi(handler: str, form: bool) -> _Peer:
    arguments = ("-m", "loadtests.peers.fastapi_peer")
    return _Peer(arguments, "/readyz", form, "fastapi", {"PEER_HANDLER": handler})


_PEERS: Mapping[str, _Peer] = {
    "fastapi": _describe_fastapi("body", form=False),
    "fastapi-form": _describe_fastapi("form", form=True),
    "fastapi-thread": _describe_fastapi("thread", form=True),
    "litserve": _Peer(("-m", "loadtests.peers.litserve_peer"), "/health", True, "litserve"),
    "bentoml": _Peer(
        (
            *("-m", "bentoml", "serve", "loadtests.peers.bentoml_peer:Classifier"),
            *("--host", HOST, "--port", "{port}"),
        ),
        "/readyz",
        True,
        "bentoml",
    ),
    "mlserver": _Peer(
        ("-m", "loadtests.peers.mlserver_peer"), "/v2/health/ready", False, "mlserver"
    ),
}
PEERS = tuple(_PEERS)
PACKAGES = tuple(dict.fromkeys(peer.package for peer in _PEERS.values()))


def describe_peer(name: str, bundle: Path, root: Path = ROOT) -> Contestant:
    """A peer in the environment that `make serving-peers` made for it. Raises WrongUsage."""
    peer = _PEERS[name]
    python = root / f".venv-{peer.package}" / "bin" / "python"
    if not python.is_file():
        raise WrongUsage(f"peer {name}: expected {python}, found no such file; {REMEDY}")
    environment = {
        "PEER_PORT": "{port}",
        "PEER_BUNDLE": str(bundle.resolve()),
        "PEER_THREADS": "1",
        "BENTOML_DO_NOT_TRACK": "True",
        **EVEN,
        **peer.environment,
    }
    spec = ServerSpec(name, (str(python), *peer.arguments), root, environment, peer.ready_path)
    return Contestant(spec, peer.form, "peer", is_peer=True)
