"""Units of systemd, read strictly: what systemd would pass over with a warning is an error here."""

import re
import subprocess
from functools import cache
from pathlib import Path

SYSTEMD = Path("/lib/systemd/systemd")
_LINE = re.compile(r"([A-Z][A-Za-z0-9]*)=(?! )(.*)")
#: May be given more than once; the values add up.
_LISTS = {"Environment", "EnvironmentFile", "IPAddressAllow", "IPAddressDeny", "SystemCallFilter"}


class BadUnit(Exception):
    """A line that systemd would not heed, or not as it looks."""


def parse_unit(text: str, known: dict[str, set[str]]) -> dict[str, dict[str, list[str]]]:
    """The values by section and name. `known` has the names by section. Raises BadUnit."""
    unit: dict[str, dict[str, list[str]]] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = line[1:-1]
            if line != f"[{section}]" or section not in known or section in unit:
                raise BadUnit(f"line {number}: no new section that systemd has: {line}")
            unit[section] = {}
            continue
        match = _LINE.fullmatch(line)
        if match is None or not section or line != line.strip() or line.endswith("\\"):
            raise BadUnit(f"line {number}: expected Name=value in a section: {line}")
        name, value = match.groups()
        if name not in known[section]:
            raise BadUnit(f"line {number}: systemd has no {name}= in [{section}]")
        if name in unit[section] and name not in _LISTS:
            raise BadUnit(f"line {number}: {name}= is given twice")
        unit[section].setdefault(name, []).append(value)
    return unit


@cache
def list_names() -> dict[str, set[str]]:
    """The names that the installed systemd knows, by section."""
    dump = subprocess.run(
        [SYSTEMD, "--dump-configuration-items"], capture_output=True, text=True, check=True
    ).stdout
    names: dict[str, set[str]] = {}
    section = ""
    for line in dump.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line and not line.endswith("=NOTSUPPORTED"):
            names.setdefault(section, set()).add(line.partition("=")[0])
    return names


def verify_unit(text: str, name: str, folder: Path) -> str:
    """What systemd complains of, its program taken to be there; "" if it complains of nothing."""
    file = folder / name
    file.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True
    )
    complaints = (found.stdout + found.stderr).strip()
    return complaints or ("" if found.returncode == 0 else f"status {found.returncode}")


def read_seconds(value: str) -> float:
    """A time span as the units here write it."""
    match = re.fullmatch(r"(\d+)(min|s|)", value)
    assert match is not None, value
    return int(match[1]) * {"min": 60, "s": 1, "": 1}[match[2]]


def read_bytes(value: str) -> int:
    """A size as the units here write it."""
    match = re.fullmatch(r"(\d+)M", value)
    assert match is not None, value
    return int(match[1]) * 2**20
