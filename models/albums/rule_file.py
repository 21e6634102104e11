"""Reads and writes files of rules; each fault is told with its place and a remedy.

# weights are logarithms of odds; `hard` rules always hold
temperature 1.5
2.8   same_session(a, b) & kind(a) = k => kind(b) = k
1.5   camera(a, "feeder*") => kind(a) in {bird, insect}
hard  folder(a, "cats") => kind(a) = cat
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import replace

from models.albums.rule_syntax import Line, Said, Token
from models.albums.rules import Evidence, Rule, RuleSet, Statement, Term

NONE = "none of these"  # the kind of a photo that shows no label
MAX_WEIGHT = 1000.0
_ANY = re.compile(r"[a-z][0-9]?")  # stands for any kind, unless it is the name of one


def parse_rules(
    text: str, labels: Sequence[str], where: str = "rules", none: bool = True
) -> RuleSet:
    """The rules of a file's text, about these labels and, with `none`, about NONE.

    Without `none`, rules that name it are left out, with a note. Raises RuleError.
    """
    names = {NONE: len(labels)} | {label: i for i, label in enumerate(labels)}
    rules: list[Rule] = []
    notes: list[str] = []
    temperature: float | None = None
    for number, content in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        line = Line(content, number, where)
        if line.next.sort == "end":
            continue
        if line.next.text == "temperature":
            if temperature is not None:
                line.fail("one temperature in a file", "Remove one of them.")
            line.take()
            temperature = _read_temperature(line)
            continue
        rule = _read_rule(line, names)
        quoted = any(token.text.strip('"') == NONE for token in line.tokens)
        if quoted and NONE not in labels and not none:
            notes.append(f"{where}:{number}: left out, as the bundle never says '{NONE}'")
        else:
            rules.append(rule)
    return RuleSet(tuple(rules), 1.0 if temperature is None else temperature, tuple(notes))


def _read_temperature(line: Line) -> float:
    remedy = "Write temperature 1.5, by which the bundle's own is multiplied."
    value = line.number_from("a number from 0.01 to 100", remedy, 0.01, 100)
    if line.next.sort != "end":
        line.fail("the end of the line", remedy)
    return value


def _read_rule(line: Line, names: dict[str, int]) -> Rule:
    column, weight = line.next.column, math.inf
    if not line.takes("hard"):
        expected = f"a weight from -{MAX_WEIGHT:g} to {MAX_WEIGHT:g}, or hard"
        remedy = "Write 2.8, or hard for a rule that always holds."
        weight = line.number_from(expected, remedy, -MAX_WEIGHT, MAX_WEIGHT)
    start = line.next.column - 1
    evidence: list[Evidence] = []
    head = line.conjunction(evidence)
    body: list[Said] = []
    if line.takes("=>"):
        body, head = head, line.conjunction(None)
    if line.next.sort != "end":
        line.fail(
            "&, => or the end of the line", "Join statements by &; one rule stands in a line."
        )
    if not head:
        line.fail("a statement about a kind", "Write kind(a) = cat, say.")
    statements = _look_up(line, [*body, *head], len(body), names)
    text = line.text[start:].strip()
    parts = statements[: len(body)], statements[len(body) :]
    rule = Rule(weight, tuple(evidence), *parts, text, line.number, column)
    for what, count in (("kinds", len(rule.terms())), ("photos", len(rule.variables()))):
        if count > 2:
            line.fail(f"at most two {what} in a rule", "Write several rules.", line.tokens[0])
    return rule


def _look_up(
    line: Line, said: list[Said], body: int, names: dict[str, int]
) -> tuple[Statement, ...]:
    """Statements about kinds; one that stands for any kind becomes that of the photo that has it.

    In the file, a letter for any kind has to be said of a photo before `=>`.
    """
    any_kind = [
        s.names[0].text
        if len(s.names) == 1 and not s.is_set and _stands_for_any(s.names[0], names)
        else ""
        for s in said
    ]
    holders: dict[str, Term] = {}
    for i, (name, part) in enumerate(zip(any_kind, said, strict=True)):
        if name and not part.negated and (i < body or not body):
            holders.setdefault(name, part.term)
    statements = []
    for name, part in zip(any_kind, said, strict=True):
        if not name:
            kinds = frozenset(_find_kind(line, token, names) for token in part.names)
            statements.append(Statement(part.term, kinds, part.other, part.negated))
            continue
        if name not in holders or any_kind.count(name) < 2:
            near = difflib.get_close_matches(name, names, 3, 0.5)
            line.fail(
                "a kind, or a letter for any kind that stands twice, first before =>",
                f"Write kind(a) = {name} => kind(b) = {name}"
                + (f"; or did you mean {' or '.join(near)}?" if near else "."),
                part.names[0],
            )
        other = None if holders[name] == part.term else holders[name]
        # The kind of a photo is its own kind: true, and where negated false.
        kinds = frozenset(names.values()) if other is None else frozenset()
        statements.append(Statement(part.term, kinds, other, part.negated))
    return tuple(statements)


def _stands_for_any(token: Token, names: dict[str, int]) -> bool:
    return token.sort == "name" and token.text not in names and bool(_ANY.fullmatch(token.text))


def _find_kind(line: Line, token: Token, names: dict[str, int]) -> int:
    name = token.text.strip('"')
    if name not in names:
        folded = {kind.casefold(): kind for kind in names}
        near = [folded[n] for n in difflib.get_close_matches(name.casefold(), folded, 3, 0.5)]
        known = f"It knows {', '.join(list(names)[1:9])}{' and others' * (len(names) > 9)}."
        remedy = f"Did you mean {' or '.join(near)}?" if near else known
        line.fail("a kind that the bundle knows", remedy, token)
    return names[name]


def with_weights(rules: RuleSet, weights: Sequence[float], temperature: float) -> RuleSet:
    """The same rules with other weights; those of hard rules stay."""
    pairs = zip(rules.rules, weights, strict=True)
    changed = tuple(rule if rule.hard else replace(rule, weight=w) for rule, w in pairs)
    return replace(rules, rules=changed, temperature=temperature)


def write_weights(text: str, rules: RuleSet) -> str:
    """The text of a file with the weights and the temperature of `rules` in place of its own."""
    lines = text.removeprefix("\ufeff").splitlines()
    for rule in rules.rules:
        if not rule.hard:
            line, start = lines[rule.line - 1], rule.column - 1
            rest = line[start:].split(None, 1)[1]
            lines[rule.line - 1] = f"{line[:start]}{rule.weight:<6.4g} {rest}"
    kept = [line for line in lines if line.split()[:1] != ["temperature"]]
    first = next((i for i, line in enumerate(kept) if line.strip()[:1] not in ("", "#")), 0)
    kept.insert(first, f"temperature {rules.temperature:.4g}")
    return "\n".join(kept) + "\n"
