"""Shards of a set of names, for machines that share the work: each name is in exactly one."""

import os
import re
from dataclasses import dataclass
from hashlib import blake2b

_FORM = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


def hash_name(name: str) -> int:
    """64 bits of a name's bytes; the same in every process, on every machine."""
    return int.from_bytes(blake2b(os.fsencode(name), digest_size=8).digest(), "big")


@dataclass(frozen=True)
class Shard:
    """The `index`-th of `count` shards, from 1 on."""

    index: int
    count: int

    def has(self, key: str) -> bool:
        """Whether an image is in this shard; `key` is its name below what was given."""
        return self.count == 1 or hash_name(key) % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


WHOLE = Shard(1, 1)


def parse_shard(text: str) -> Shard:
    """`2/8`, the second of eight. Raises ValueError."""
    match = _FORM.fullmatch(text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"expected I/N, from 1/N to N/N, as 2/8; found {text[:60]!r}")
    return Shard(int(match[1]), int(match[2]))
