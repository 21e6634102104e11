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
    """One sentence, or a few with semicolons, for each photo.

    kinds: the labels, and what a photo is called that shows none of them.
    """
    said, final = answers.before.argmax(axis=1), answers.after.argmax(axis=1)
    likely = answers.before[:, : len(kinds) - 1].argmax(axis=1) if len(said) else said
    speaking = _find_rules(answers, rules, final)
    members: dict[int, list[int]] = {}
    for i, session in enumerate(facts.sessions.tolist()):
        members.setdefault(session, []).append(i)
    texts = []
    for i, kind in enumerate(final.tolist()):
        session = np.array(members[int(facts.sessions[i])])
        near = session[np.abs(facts.times[session] - facts.times[i]) <= burst]
        around, where = session, "of its session"
        if len(near) > 1:
            around, where = near, f"within {_plural(burst, 'second')}"
        saying = int((said[around] == kind).sum())
        resembling = int((likely[around] == kind).sum())
        parts = []
        if len(around) > 1 and (saying or not resembling):
            verb = "says" if saying == 1 else "say"
            parts.append(f"{saying} of {len(around)} photos {where} {verb} {kinds[kind]}")
        elif len(around) > 1:  # each of them more likely shows nothing that is known
            verb = "looks" if resembling == 1 else "look"
            most = f"{resembling} of {len(around)} photos {where} {verb} most like {kinds[kind]}"
            parts.append(most)
        parts += [f"the rule of line {rule.line} ({rule.text})" for rule in speaking[i]]
        linked = said[i] != kind and not speaking[i]
        if linked and not {kind} & set(np.concatenate([said[session], likely[session]]).tolist()):
            parts.append("the photos that rules link it with outweigh its own score")
        texts.append("; ".join(parts) or "no other photo is in its session")
    return texts


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
