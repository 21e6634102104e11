"""Why a photo got its kind: what the photos around it say, and which rules speak for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.albums.facts import Facts
from models.albums.reasoning import Answers
from models.albums.rules import Rule


def explain(
    answers: Answers, facts: Facts, rules: Sequence[Rule], kinds: Sequence[str], burst: float
) -> list[str]:
    """One sentence, or a few with semicolons, for each photo."""
    said, final = answers.before.argmax(axis=1), answers.after.argmax(axis=1)
    speaking = _find_rules(answers, rules, final)
    members: dict[int, list[int]] = {}
    for i, session in enumerate(facts.sessions.tolist()):
        members.setdefault(session, []).append(i)
    texts = []
    for i, kind in enumerate(final.tolist()):
        session = np.array(members[int(facts.sessions[i])])
        near = session[np.abs(facts.times[session] - facts.times[i]) <= burst]
        parts = []
        if len(near) > 1:
            parts.append(_count(said, near, kind, kinds, f"within {_plural(burst, 'second')}"))
        elif len(session) > 1:
            parts.append(_count(said, session, kind, kinds, "of its session"))
        parts += [f"the rule of line {rule.line} ({rule.text})" for rule in speaking[i]]
        if said[i] != kind and not speaking[i] and not (said[session] == kind).any():
            parts.append("the photos that rules link it with outweigh its own score")
        texts.append("; ".join(parts) or "no other photo is in its session")
    return texts


def _count(
    said: NDArray[np.int64], rows: NDArray[np.int64], kind: int, kinds: Sequence[str], where: str
) -> str:
    alike = int((said[rows] == kind).sum())
    return f"{alike} of {len(rows)} photos {where} {'says' if alike == 1 else 'say'} {kinds[kind]}"


def _plural(number: float, unit: str) -> str:
    return f"{number:g} {unit}{'' if number == 1 else 's'}"


def _find_rules(
    answers: Answers, rules: Sequence[Rule], final: NDArray[np.int64]
) -> list[list[Rule]]:
    """For each photo the rules with evidence about it that speak for its kind, against another."""
    found: list[list[Rule]] = [[] for _ in final]
    for ground in answers.graph.grounds:
        rule = rules[ground.rule]
        if ground.nodes.ndim == 1 and rule.evidence and not ground.holds.all():
            for i in ground.nodes[ground.nodes < len(final)].tolist():
                if ground.holds[final[i]] == (rule.weight > 0):
                    found[i].append(rule)
    return found
