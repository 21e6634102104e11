"""What models.attack measures: how many right answers stay, the checks, and on what."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.errors import DataError
from models.records.typed_json import Finite, as_json, parse_json
from runtime.whole_file import write_whole

FORMAT: Literal[1] = 1
OWN = "own pgd"  # through this repository's own loop
WHITE = "white box"  # an image counts only if it stays right under each attack by gradients
TOO_WEAK = "attack too weak"


@dataclass(frozen=True, kw_only=True)
class Share:
    """percent of `images`, with the 95 % interval."""

    percent: Finite
    images: int
    low: Finite
    high: Finite


@dataclass(frozen=True, kw_only=True)
class AttackResult:
    """What stays right under an attack. rounded: to whole levels, within eps; file: these as PNG,
    read and answered by the bundle's engine.
    """

    attack: str
    eps: Finite
    stays: Share
    rounded: Share
    file: Share


@dataclass(frozen=True, kw_only=True)
class Check:
    """A self-check of the attacks; `told` has the figures."""

    name: str
    passed: bool
    told: str


@dataclass(frozen=True, kw_only=True)
class Queries:
    """Questions until Square changed the answer, of each image that it did, ascending."""

    eps: Finite
    images: int
    needed: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Attacker:
    """An attack on the defended network: stays: mean over new draws; worst: right in all draws."""

    name: str
    stays: Share
    worst: Share


@dataclass(frozen=True, kw_only=True)
class Score:
    """Of one eps: attempts that fail with (the strongest attacker) and without the defence.

    des is None where the defence costs no measurable accuracy.
    """

    eps: Finite
    attackers: tuple[Attacker, ...]
    strongest: str
    failed: Finite
    failed_without: Finite
    des: Finite | None


@dataclass(frozen=True, kw_only=True)
class DefenceFigures:
    """accuracy: percent of all images looked at, mean over draws; cost: how much lower than
    without, in points; standard_error: of that.
    """

    name: str
    draws: int
    accuracy: Finite
    accuracy_without: Finite
    cost: Finite
    standard_error: Finite
    scores: tuple[Score, ...]


@dataclass(frozen=True, kw_only=True)
class AttackRecord:
    """A run of models.attack. gradients: what they were taken from, None without any; clean: of all
    images looked at, the attacked ones are those among them that the network is right on.
    """

    format: Literal[1] = FORMAT
    network: str
    binary: bool
    gradients: str | None
    surrogate: str | None
    side: int
    data: str
    split: str
    sha256: str
    classes: int
    grouped: bool
    clean: Share
    images: int
    targeted: bool
    steps: int
    queries: int
    seed: int
    results: tuple[AttackResult, ...]
    queries_to_success: tuple[Queries, ...]
    checks: tuple[Check, ...]
    defence: DefenceFigures | None
    engine: str
    art: str | None
    torch: str
    commit: str | None
    version: str | None
    device: str
    started: str
    seconds: Finite

    @property
    def strong(self) -> bool:
        """Whether all self-checks passed; else the figures say nothing about the network."""
        return all(check.passed for check in self.checks)


def write_attack(path: Path, record: AttackRecord) -> None:
    """Writes the whole file or nothing: see write_whole."""
    text = json.dumps(as_json(record), indent=1, allow_nan=False) + "\n"
    with write_whole(path) as stream:
        stream.write(text.encode())


def read_attack(path: Path) -> AttackRecord:
    """Raises DataError if the file holds no such record."""
    expected, remedy = "an answer of models.attack", "Measure it again."
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: expected {expected}; found {error.strerror}. {remedy}") from error
    return parse_json(AttackRecord, content, where=str(path), expected=expected, remedy=remedy)
