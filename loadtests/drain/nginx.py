"""nginx in front of a server, with a configuration of its own in a temporary folder."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Self

from loadtests.clients.http_client import Address, Lost, connect
from loadtests.errors import ServerFault
from loadtests.servers.server import HOST, find_free_port, run_on

START_SECONDS = 5.0
#: Answer header: the time nginx took to connect; "-" where the server refused the connection.
CONNECT_HEADER = "x-upstream-connect"

# Connections to the server are kept, as in front of any service that is asked often. A failed
# request is not repeated: there is one server, and POST is not repeated anyway.
_CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 64m;
  client_body_buffer_size 1m;
  keepalive_timeout 75s;
  keepalive_requests 1000000;
  upstream service {{
    server {upstream.host}:{upstream.port};
    keepalive 512;
    keepalive_timeout 60s;
    keepalive_requests 1000000;
  }}
  server {{
    listen {host}:{port} backlog=4096;
    location / {{
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Connection "";
      proxy_request_buffering {buffering};
      proxy_read_timeout 120s;
      add_header {header} $upstream_connect_time always;
    }}
  }}
}}
"""


def find_nginx() -> str | None:
    """The program: $LOADTESTS_NGINX, or where Debian's package puts it; None if it is not there."""
    name = os.environ.get("LOADTESTS_NGINX", "nginx")
    return shutil.which(name, path=f"/usr/sbin:/usr/bin:{os.environ.get('PATH', '')}")


class Nginx:
    """A running nginx; a context manager that ends it."""

    def __init__(self, upstream: Address, buffering: bool, cpus: Sequence[int] = ()) -> None:
        """Starts it. Raises ServerFault."""
        program = find_nginx()
        if program is None:
            raise ServerFault("expected nginx, found none; apt-get install nginx-light")
        self._folder = tempfile.TemporaryDirectory(prefix="loadtests-nginx-")
        folder = Path(self._folder.name)
        folder.chmod(0o755)  # its workers run as another user
        self.address = Address(HOST, find_free_port())
        configuration = folder / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                folder=folder,
                upstream=upstream,
                host=HOST,
                port=self.address.port,
                buffering="on" if buffering else "off",
                header=CONNECT_HEADER,
            )
        )
        with run_on(cpus):
            self._process = subprocess.Popen(
                [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", configuration],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    async def wait_until_ready(self) -> None:
        """Until it accepts connections. Raises ServerFault with its error log."""
        end = perf_counter() + START_SECONDS
        while perf_counter() < end and self._process.poll() is None:
            try:
                (await connect(self.address, 1.0)).close()
            except Lost:
                await asyncio.sleep(0.02)
            else:
                return
        raise ServerFault(f"expected a running nginx; its log: {self.read_log()}")

    def read_log(self) -> str:
        """The end of its error log."""
        path = Path(self._folder.name) / "error.log"
        return path.read_text()[-1500:] if path.exists() else "(none)"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()
