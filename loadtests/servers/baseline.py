"""Memory of a service or a peer before its model is there, to which what it holds is compared."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from loadtests.servers.server import Server, ServerSpec
from loadtests.servers.steps import break_down


async def measure_no_model(
    python: str,
    folder: Path,
    engine: str,
    environment: Mapping[str, str] | None = None,
    cpus: Sequence[int] = (),
) -> int:
    """RSS, bytes, of the service of a source tree before it loads its model.

    That is its interpreter with everything imported that serving with this `engine` (native, onnx,
    torchscript) needs, ONNX Runtime or torch included, and with its application made. The same
    `environment` and `cpus` as the service has. Raises ServerFault.
    """
    found = await break_down(python, folder, engine, environment, with_model=False, cpus=cpus)
    return found.total.rss


async def measure_server_no_model(spec: ServerSpec, cpus: Sequence[int] = ()) -> int:
    """RSS, bytes, of all processes of a peer that is ready and has loaded no model.

    Raises ServerFault.
    """
    spec = replace(spec, environment={**spec.environment, "PEER_MODEL": "none"})
    with Server(spec, cpus) as server:
        await server.wait_until_ready()
        return server.read_usage().rss_bytes
