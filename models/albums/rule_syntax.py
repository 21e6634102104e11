"""The syntax of one line of a file of rules: tokens, and statements with names as they stand."""

from __future__ import annotations

import difflib
import re
from typing import NamedTuple, NoReturn

from models.albums.rules import Evidence, Term, Unit
from models.errors import RuleError

#: evidence -> how many photos it is about, what else it takes, and an example
EVIDENCE = {
    "near": (2, "number", "near(a, b, 2), with seconds"),
    "same_session": (2, "", "same_session(a, b)"),
    "place": (2, "metres", "place(a, b), or place(a, b, 100) with metres"),
    "camera": (1, "text", 'camera(a, "feeder*")'),
    "folder": (1, "text", 'folder(a, "cats")'),
}
KIND = "kind(a), kind(session(a)) or kind(burst(a))"
PLACE_METRES = 100.0
UNITS: dict[str, Unit] = {"session": "session", "burst": "burst"}
_TOKEN = re.compile(
    r"""(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.])|(?P<name>[^\W\d]\w*)
    |(?P<text>"[^"]*")|(?P<sign>=>|!=|[=&!(){},])|(?P<space>\s+|\#.*)|(?P<other>.)""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """sort: number, name, text (with its quotes), sign, other, or end; column: from 1."""

    sort: str
    text: str
    column: int


class Said(NamedTuple):
    """The kind of term is one of `names`, or the kind of `other`; `!` and `!=` make it negated."""

    term: Term
    names: tuple[Token, ...]
    other: Term | None
    negated: bool
    is_set: bool


class Line:
    """Reads one line from left to right; raises RuleError with its place."""

    def __init__(self, line: str, number: int, where: str) -> None:
        self.number, self.where = number, where
        found = [Token(m.lastgroup or "", m.group(), m.start() + 1) for m in _TOKEN.finditer(line)]
        self.tokens = [token for token in found if token.sort != "space"]
        self.tokens.append(Token("end", "", len(line.rstrip()) + 1))
        self.place = 0
        self.text = line[: found[-1].column - 1] if found and found[-1].text[0] == "#" else line

    @property
    def next(self) -> Token:
        return self.tokens[self.place]

    def take(self) -> Token:
        token = self.next
        self.place = min(self.place + 1, len(self.tokens) - 1)
        return token

    def takes(self, text: str) -> bool:
        """Whether the next token is this one; then it is taken."""
        return self.next.text == text and bool(self.take())

    def fail(self, expected: str, remedy: str, token: Token | None = None) -> NoReturn:
        token = token or self.next
        found = "the end of the line" if token.sort == "end" else f"'{token.text[:60]}'"
        place = f"{self.where}:{self.number}:{token.column}"
        raise RuleError(f"{place}: expected {expected}; found {found}. {remedy}")

    def expect(self, sort: str, what: str, example: str) -> Token:
        if sort not in (self.next.text, self.next.sort):
            self.fail(what, f"Write {example}.")
        return self.take()

    def number_from(self, what: str, remedy: str, low: float, high: float) -> float:
        if self.next.sort != "number" or not low <= float(self.next.text) <= high:
            self.fail(what, remedy)
        return float(self.take().text)

    def conjunction(self, evidence: list[Evidence] | None) -> list[Said]:
        """Statements joined by &; evidence is put into its list, where it may stand."""
        said: list[Said] = []
        while True:
            negated, token = self.takes("!"), self.next
            if token.text == "kind":
                said.append(self.statement(negated))
            elif evidence is not None and token.text in EVIDENCE:
                evidence.append(self.evidence(negated))
            else:
                names = ["kind", *(EVIDENCE if evidence is not None else ())]
                near = difflib.get_close_matches(token.text, names, 1)
                what = "one of " + ", ".join(names) if len(names) > 1 else "kind after =>"
                self.fail(what, f"Did you mean {near[0]}?" if near else "Write kind(a) = cat, say.")
            if not self.takes("&"):
                return said

    def evidence(self, negated: bool) -> Evidence:
        token = self.take()
        photos, more, example = EVIDENCE[token.text]
        if negated and photos == 2:
            self.fail("no ! before it", "Evidence about two photos cannot be negated.", token)
        self.expect("(", "'('", example)
        names = [self.expect("name", "a name for a photo", example)]
        if photos == 2:
            self.expect(",", "','", example)
            names.append(self.expect("name", "a name for a photo", example))
            if names[0].text == names[1].text:
                self.fail("two photos", f"Write {example}.", names[1])
        value: float | str | None = PLACE_METRES if more == "metres" else None
        if more in ("text", "number") or (more and self.next.text == ","):
            self.expect(",", "','", example)
            if more == "text":
                value = self.expect("text", 'a text in "quotes"', example).text[1:-1]
            else:
                value = self.number_from("a number from 0", f"Write {example}.", 0, 1e9)
        self.expect(")", "')'", example)
        return Evidence(token.text, tuple(name.text for name in names), value, negated)

    def term(self) -> Term:
        self.take()  # kind
        self.expect("(", "'('", KIND)
        name = self.expect("name", "a name for a photo", KIND)
        unit: Unit = "photo"
        if self.next.text == "(":
            if name.text not in UNITS:
                self.fail("session or burst", f"Write {KIND}.", name)
            self.take()
            unit, name = UNITS[name.text], self.expect("name", "a name for a photo", KIND)
            self.expect(")", "')'", KIND)
        self.expect(")", "')'", KIND)
        return Term(unit, name.text)

    def statement(self, negated: bool) -> Said:
        term, sign = self.term(), self.take()
        if sign.text not in ("=", "!=", "in"):
            self.fail("=, != or in", "Write kind(a) = cat, or kind(a) in {cat, dog}.", sign)
        negated ^= sign.text == "!="
        if sign.text == "in":
            self.expect("{", "'{'", "kind(a) in {cat, dog}")
            names = [self.name()]
            while self.takes(","):
                names.append(self.name())
            self.expect("}", "'}'", "kind(a) in {cat, dog}")
            return Said(term, tuple(names), None, negated, True)
        if self.next.text == "kind" and self.tokens[self.place + 1].text == "(":
            return Said(term, (), self.term(), negated, False)
        return Said(term, (self.name(),), None, negated, False)

    def name(self) -> Token:
        if self.next.sort not in ("name", "text"):
            self.fail("the name of a kind", 'Write cat, or "hot dog" where it has a space.')
        return self.take()
