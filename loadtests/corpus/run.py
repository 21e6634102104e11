"""Posts the files of a corpus, several at a time, and notes the outcome of each."""

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from loadtests.clients.http_client import Address, Pool
from loadtests.clients.images import build_image, generate_jpegs
from loadtests.clients.outcomes import Outcome, attempt
from loadtests.clients.requests import build_classify
from loadtests.command_line.progress import Progress
from loadtests.errors import WrongUsage

_IN_ORDER = frozenset({503, 504})  # the service refuses, it does not fail


@dataclass(frozen=True)
class Posted:
    """A file and its outcome."""

    path: Path
    size: int  # bytes
    outcome: Outcome

    @property
    def kind(self) -> str:
        """By the ending of its name."""
        return self.path.suffix.lower() or "(none)"

    @property
    def faulty(self) -> bool:
        """Whether the service failed, rather than refused."""
        status = self.outcome.status
        return bool(self.outcome.lost) or (status >= 500 and status not in _IN_ORDER)


async def post_all(
    pool: Pool, paths: Sequence[Path], options: argparse.Namespace, progress: Progress
) -> list[Posted]:
    """Each file once, by `options.clients` clients. Raises OSError."""
    posted: list[Posted] = []
    waiting = iter(paths)

    async def be_client() -> None:
        for path in waiting:
            data = path.read_bytes()
            request = build_classify(build_image(path.name, data), options.form)
            outcome = await attempt(pool, request.data, perf_counter(), options.give_up)
            posted.append(Posted(path, len(data), outcome))
            progress.show(f"{len(posted)}/{len(paths)} files, {path.name}")

    await asyncio.gather(*(be_client() for _ in range(options.clients)))
    pool.close()
    return posted


async def classify_good(address: Address, options: argparse.Namespace) -> Outcome:
    """Sends an ordinary image at the end."""
    (image,) = generate_jpegs(1, 1, (512, 384))
    pool = Pool(address)
    data = build_classify(image, options.form).data
    outcome = await attempt(pool, data, perf_counter(), options.give_up)
    pool.close()
    return outcome


def list_files(folders: Sequence[Path]) -> Iterator[Path]:
    """Every file below the folders, in order. Raises WrongUsage if there is none."""
    found = False
    for folder in folders:
        if not folder.is_dir():
            raise WrongUsage(f"expected a folder, found none at {folder}")
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                found = True
                yield path
    if not found:
        raise WrongUsage("expected files in the folders, found none")
