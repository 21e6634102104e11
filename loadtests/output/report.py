"""The result of a tool: tables, checks of thresholds, JSON and Markdown, the exit status."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from loadtests.output.machine import describe_machine, format_machine, read_load

MAX_SHOWN = 20  # thresholds in a table; of more only those that were missed
HELD, MISSED, UNFIT = 0, 1, 3  # exit statuses; 2 is argparse's


@dataclass(frozen=True)
class Check:
    """A threshold: what was found, what was allowed, whether it held."""

    name: str
    found: str
    limit: str
    held: bool
    goal: str = ""  # what would be better still


def check_at_most(name: str, found: float, limit: float, unit: str = "", goal: str = "") -> Check:
    """Held if `found` is not above `limit`."""
    return Check(name, f"{found:.4g}{unit}", f"<= {limit:g}{unit}", found <= limit, goal)


def check_at_least(name: str, found: float, limit: float, unit: str = "", goal: str = "") -> Check:
    """Held if `found` is not below `limit`."""
    return Check(name, f"{found:.4g}{unit}", f">= {limit:g}{unit}", found >= limit, goal)


@dataclass
class Report:
    """Gathers what a tool has found. `unfit` says why the figures mean nothing, if they don't."""

    title: str
    settings: Mapping[str, Any]
    machine: dict[str, Any] = field(default_factory=describe_machine)
    paragraphs: list[str] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    unfit: list[str] = field(default_factory=list)

    def add_table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table with a sentence above it."""
        self.paragraphs += [title, make_table(head, rows)]

    @property
    def exit_status(self) -> int:
        """0: all thresholds held; 1: one did not; 3: the generator was the limit."""
        if self.unfit:
            return UNFIT
        return HELD if all(check.held for check in self.checks) else MISSED

    def format_markdown(self, load_after: list[float]) -> str:
        """The whole report."""
        server, client = (self.settings.get(f"{side}_cpus") for side in ("server", "client"))
        pinned = f" Server on CPUs {server}, generator on {client}." if server and client else ""
        machine = format_machine(self.machine, load_after) + pinned
        parts = [f"# {self.title}", machine, *self.paragraphs]
        parts += [f"**Not a measurement**: {reason}" for reason in self.unfit]
        if self.checks:
            held = sum(check.held for check in self.checks)
            parts.append(f"Thresholds: {held} of {len(self.checks)} held.")
            shown = [c for c in self.checks if not c.held or len(self.checks) <= MAX_SHOWN]
            if shown:
                rows = [
                    [c.name, c.found, c.limit, c.goal, "yes" if c.held else "**NO**"] for c in shown
                ]
                parts.append(make_table(["what", "found", "limit", "goal", "held"], rows))
        return "\n\n".join(parts) + "\n"

    def as_json(self, load_after: list[float]) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "tool": self.title,
            "settings": dict(self.settings),
            "machine": {**self.machine, "load_average_after": load_after},
            "results": self.data,
            "checks": [asdict(check) for check in self.checks],
            "unfit": self.unfit,
            "held": self.exit_status == HELD,
        }

    def write(
        self, json_path: Path | None, markdown_path: Path | None, stream: TextIO | None = None
    ) -> int:
        """Prints the report, writes the files that were asked for, returns the exit status."""
        load_after = read_load()
        text = self.format_markdown(load_after)
        print(text, end="", file=stream or sys.stdout)
        if markdown_path is not None:
            markdown_path.write_text(text)
        if json_path is not None:
            json_path.write_text(json.dumps(self.as_json(load_after), indent=1) + "\n")
        return self.exit_status


def make_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
