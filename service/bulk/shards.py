"""Shards of a set of names, for machines that share the work: each name is in exactly one."""

import os
import re
from dataclasses import dataclass
from hashlib import blake2b

_FORM = re.compile(r"([0-9]{1,9}|[A-Za-z_][A-Za-z0-9_]{0,99})/([0-9]{1,9})")
_INDEX = "JOB_COMPLETION_INDEX"


def hash_name(name: str) -> int:
    """64 bits of a name's bytes; the same in every process, on every machine."""
    return int.from_bytes(blake2b(os.fsencode(name), digest_size=8).digest(), "big")


@dataclass(frozen=True)
class Shard:
    """Shard `index` of `count`, counted from 1."""

    index: int
    count: int

    def has(self, key: str) -> bool:
        """Whether an image is in this shard; `key` is its name below the given folder or prefix."""
        return self.count == 1 or hash_name(key) % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


WHOLE = Shard(1, 1)


def parse_shard(text: str) -> Shard:
    """Parses `2/8`, the second of eight; or `NAME/8`, where the variable NAME counts from 0.

    Schedulers of jobs count so: JOB_COMPLETION_INDEX of Kubernetes, AWS_BATCH_JOB_ARRAY_INDEX,
    SLURM_ARRAY_TASK_ID. Raises ValueError.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(
            f"expected I/N, from 1/N to N/N, as 2/8, or NAME/N, as {_INDEX}/8; found {text[:60]!r}"
        )
    name, count = match[1], int(match[2])
    if name.isdecimal():
        index = int(name)
        if not 1 <= index <= count:
            raise ValueError(f"expected I/N, from 1/N to N/N, as 2/8; found {text[:60]!r}")
        return Shard(index, count)
    value = os.environ.get(name, "")
    if not re.fullmatch("[0-9]{1,9}", value) or not int(value) < count:
        raise ValueError(
            f"expected the variable {name} to be from 0 to {count - 1}; found {value[:60]!r}"
        )
    return Shard(int(value) + 1, count)
