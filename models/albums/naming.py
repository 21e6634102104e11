"""From the photos of a folder to what each shows: learned weights, reasoning, a row for each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from models.albums.facts import BURST, GAP, Facts, find_facts
from models.albums.learning import TEMPERATURE_PRIOR, Learned, learn
from models.albums.outputs import Result, Row
from models.albums.photos import Album
from models.albums.reasoning import reason, score
from models.albums.reasons import explain
from models.albums.rule_file import NONE, parse_rules, write_weights
from models.albums.rules import RuleSet
from models.errors import DataError
from runtime import Manifest


@dataclass(frozen=True)
class Spans:
    """Seconds without a photo after which a session, a burst, ends."""

    gap: float = GAP
    burst: float = BURST


@dataclass(frozen=True)
class RuleText:
    """Rules, and the text that they were read from."""

    rules: RuleSet
    text: str


def read_rules(path: Path, manifest: Manifest) -> RuleText:
    """Rules about the bundle's labels. Raises RuleError; DataError for a file that is no text."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as fault:
        raise DataError(
            f"{path}: expected rules in UTF-8; found {fault}. Save it as UTF-8."
        ) from fault
    rules = parse_rules(text, manifest.labels, str(path), manifest.known is not None)
    return RuleText(rules, text)


def learn_rules(
    album: Album, manifest: Manifest, rules: RuleText, spans: Spans
) -> tuple[RuleText, Learned]:
    """Weights and temperature from an album whose photos lie in folders called like kinds.

    The innermost of such folders counts. Raises as `learn` does.
    """
    numbers = {label: i for i, label in enumerate(manifest.labels)}
    if manifest.known is not None:
        numbers.setdefault(NONE, len(numbers))
    truth = [
        next((numbers[f] for f in reversed(PurePosixPath(p.name).parts[:-1]) if f in numbers), -1)
        for p in album.photos
    ]
    logits = _collect_logits(album, manifest)
    found = learn(
        rules.rules,
        _collect_facts(album, spans),
        np.array(truth, np.int64),
        lambda temperature: score(logits, manifest, temperature),
        temperature_prior=TEMPERATURE_PRIOR,
    )
    text = write_weights(rules.text, found.rules)
    return RuleText(replace(found.rules, notes=rules.rules.notes), text), found


def name_photos(
    album: Album,
    manifest: Manifest,
    rules: RuleText,
    spans: Spans,
    approximate: bool = False,
    advance: Callable[[int], object] | None = None,
) -> Result:
    """Reasons about an album. Raises as `reason` does."""
    facts = _collect_facts(album, spans)
    scores = score(_collect_logits(album, manifest), manifest, rules.rules.temperature)
    answers = reason(rules.rules, facts, scores, approximate, advance)
    kinds = [*manifest.labels, NONE]
    why = explain(answers, facts, rules.rules.rules, kinds, spans.burst)
    rows = []
    for i, photo in enumerate(album.photos):
        time = float(facts.times[i])
        before, after = int(answers.before[i].argmax()), int(answers.after[i].argmax())
        rows.append(
            Row(
                photo=photo.name,
                sha256=photo.sha256,
                time=None if math.isnan(time) else time,
                camera=facts.cameras[i],
                session=int(facts.sessions[i]) + 1,
                before=kinds[before],
                before_score=float(answers.before[i, before]),
                after=kinds[after],
                after_score=float(answers.after[i, after]),
                why=why[i],
            )
        )
    notes = (*album.notes, *facts.notes, *answers.notes)
    return Result(manifest.name, rules.text, tuple(rows), album.unreadable, notes)


def _collect_facts(album: Album, spans: Spans) -> Facts:
    names = [photo.name for photo in album.photos]
    return find_facts(names, [photo.taken for photo in album.photos], spans.gap, spans.burst)


def _collect_logits(album: Album, manifest: Manifest) -> NDArray[np.float32]:
    if not album.photos:
        return np.zeros((0, manifest.logits), np.float32)
    return np.stack([photo.kept.logits for photo in album.photos])
