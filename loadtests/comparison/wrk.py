"""Another load generator, wrk, to see whether our generator falsifies the figures."""

import asyncio
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.clients.http_client import Address
from loadtests.errors import ServerFault
from loadtests.servers.server import run_on

PROGRAM = "wrk"
ABSENT = "wrk is not installed (sudo apt-get install wrk)"
_SCRIPT = """
local file = assert(io.open({path}, "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "application/octet-stream"
done = function(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write
  failed = failed + summary.errors.status + summary.errors.timeout
  print(string.format("found %d %d %d %d %d", summary.requests, summary.duration, failed,
    latency:percentile(50), latency:percentile(99)))
end
"""
_FOUND = re.compile(r"^found (\d+) (\d+) (\d+) (\d+) (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class WrkRun:
    """What wrk found in a closed loop."""

    requests: int
    seconds: float
    failed: int  # no answer, or a status of 400 and above
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


def is_installed() -> bool:
    """Whether the program is there."""
    return shutil.which(PROGRAM) is not None


async def run_wrk(
    address: Address, image: Path, clients: int, seconds: float, cpus: Sequence[int], folder: Path
) -> WrkRun:
    """POST /classify of one file by so many clients, on these CPUs; `folder` takes its script.

    Raises ServerFault if wrk fails.
    """
    script = folder / "classify.lua"
    quoted = str(image).replace("\\", "\\\\").replace('"', '\\"')
    script.write_text(_SCRIPT.replace("{path}", f'"{quoted}"'))
    command = [PROGRAM, "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "-s", str(script)]
    with run_on(cpus):
        process = await asyncio.create_subprocess_exec(
            *command,
            f"{address}/classify",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    return read_output(output.decode(errors="replace"))


def read_output(text: str) -> WrkRun:
    """The line that the script printed. Raises ServerFault."""
    found = _FOUND.search(text)
    if found is None:
        raise ServerFault(f"wrk: expected its summary, found:\n{text[-500:]}")
    requests, microseconds, failed, p50, p99 = map(int, found.groups())
    return WrkRun(requests, microseconds / 1e6, failed, p50 / 1000, p99 / 1000)
