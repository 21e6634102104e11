"""A server that speaks S3, in a process of its own on this machine, for tests."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 60
KEYS = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}
REGION = {"AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def serve_s3(log: Path) -> Iterator[dict[str, str]]:
    """Environment variables by which a client finds it."""
    program = (
        "from moto.moto_server.threaded_moto_server import ThreadedMotoServer as Server\n"
        "server = Server('127.0.0.1', 0, verbose=False)\n"
        "server.start()\n"
        "print(server.get_host_and_port()[1], flush=True)\n"
        "server._thread.join()\n"
    )
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert process.stdout is not None
    try:
        address = f"http://127.0.0.1:{int(process.stdout.readline())}"
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                urllib.request.urlopen(address, timeout=SECONDS).close()
                break
            except OSError:
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield {"AWS_ENDPOINT_URL": address, **KEYS, **REGION}
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
