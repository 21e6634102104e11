"""A real systemd for tests: a user's manager, with a /run and with units of its own."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.deploy.units import SYSTEMD
from tests.service.servers import ROOT
from tests.service.wire import SECONDS

# Its test for a machine that systemd has booted looks for this folder, here in a /run of its own.
_START = """
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system || exit 77
exec {systemd} --user --unit=test.target --log-target=console --log-level=info
"""


class UserManager:
    """Starts units whose text is given. To be used as a context; needs root and `unshare`.

    `folder` is seen by the units, which /tmp is not where they have their own.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="systemd-", dir=ROOT / ".build"))
        self._runtime = Path(tempfile.mkdtemp(prefix="bnn-"))  # a socket's path has few characters
        self._log = self.folder / "log"
        (self.folder / "units").mkdir()
        self.write("test.target", "[Unit]\nDescription=Nothing\n")
        self.write("network-online.target", "[Unit]\nDescription=Nothing\n")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "XDG_RUNTIME_DIR": str(self._runtime),
            "SYSTEMD_UNIT_PATH": str(self.folder / "units"),
        }

    def __enter__(self) -> Self:
        with self._log.open("wb") as stream:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", _START.format(systemd=SYSTEMD)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        until = time.monotonic() + SECONDS
        while self.ask("is-system-running") != "running":
            if self._process.poll() is not None or time.monotonic() > until:
                log = self.log
                self.__exit__()
                raise AssertionError(f"systemd does not run:\n{log}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.call("exit", check=False)
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self.folder)
        shutil.rmtree(self._runtime, ignore_errors=True)

    @property
    def log(self) -> str:
        """What the manager and its units have written so far."""
        return self._log.read_text(errors="replace")

    def write(self, name: str, text: str) -> None:
        """A unit, or a change of one: bnn-service.service.d/change.conf."""
        file = self.folder / "units" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def call(self, *words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """systemctl with these words."""
        return subprocess.run(
            ["nsenter", "--mount", f"--target={self._process.pid}", "systemctl", "--user", *words],
            env=self._environment,
            capture_output=True,
            text=True,
            check=check,
            timeout=SECONDS,
        )

    def ask(self, *words: str) -> str:
        """What systemctl prints."""
        return self.call(*words, check=False).stdout.strip()

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.ask("show", "--value", f"--property={name}", unit)

    def wait_for(self, unit: str, name: str, value: str) -> None:
        """Until the property has the value."""
        until = time.monotonic() + SECONDS
        while (found := self.show(unit, name)) != value:
            assert time.monotonic() < until, f"{name}: {found}\n{self.log}"
            time.sleep(0.05)
