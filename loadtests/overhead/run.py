"""Runs all contestants of the overhead side by side: rounds of turns, A B B A."""

import argparse
import contextlib
import itertools
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtests.clients.http_client import Answer, Lost, Pool, ask
from loadtests.clients.images import SIZES, EncodedImage, generate_jpegs, read_photos
from loadtests.clients.loops import ClosedRun, judge_cpu, run_closed_loop
from loadtests.clients.outcomes import count_labels
from loadtests.clients.requests import build_classify
from loadtests.command_line.options import (
    choose_services,
    describe_options,
)
from loadtests.command_line.progress import Progress
from loadtests.errors import ServerFault
from loadtests.output.report import Report
from loadtests.overhead.bare_loop import BareLoop, BareTurn
from loadtests.overhead.report import Cell, add_tables
from loadtests.servers.contestants import EVEN, Contestant, describe_peer
from loadtests.servers.server import ROOT, Server

ONNX_BUNDLE = "mobilenet_v1"
BUNDLES = {ONNX_BUNDLE: "onnx", "default": "native"}  # with the engine that serves it
TINY, PHOTOS = "73-pixel JPEG", "512-pixel photos"
_WARM_UP_SECONDS = 0.5
_CONNECT_SECONDS, _ANSWER_SECONDS = 10.0, 60.0


@dataclass
class Member:
    """A contestant that runs: its server, its kept connections, its bare loop."""

    contestant: Contestant
    server: Server
    pool: Pool
    bare: BareLoop

    async def take_turn(self, bodies: Sequence[bytes], concurrency: int, seconds: float) -> "Turn":
        """One turn of requests, on new connections.

        Raises ServerFault if it does not accept them, or if an answer is not 200.
        """
        try:
            await self.pool.renew(concurrency, _CONNECT_SECONDS)
        except Lost as fault:
            raise ServerFault(f"{self.contestant.name}: no connection: {fault}") from fault
        before = self.server.read_cpu_seconds()
        run = await run_closed_loop(self.pool, bodies, concurrency, seconds)
        cpu = self.server.read_cpu_seconds() - before
        labels = count_labels(run.outcomes)
        if list(labels) != ["200"]:
            raise ServerFault(
                f"{self.contestant.name}: expected 200 for every request, found {labels}"
            )
        return Turn(cpu, run)


@dataclass
class Turn:
    """What one turn of a server took."""

    cpu: float  # seconds
    run: ClosedRun

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds a request."""
        return self.cpu / len(self.run.outcomes) * 1000


@dataclass
class Rounds:
    """All turns of one cell, by contestant and by bare loop; the n-th ones are of one round."""

    turns: dict[str, list[Turn]] = field(default_factory=dict)
    bare: dict[str, list[BareTurn]] = field(default_factory=dict)


def list_contestants(options: argparse.Namespace, bundle: str) -> list[Contestant]:
    """The services, the one that is judged first, and the peers where they have the network.

    `bundle` is one of BUNDLES; --onnx-bundle takes the place of that for ONNX Runtime.
    """
    other = _find_other(options, bundle)
    path = f"service/bundles/{bundle}" if other is None else str(other.resolve())
    chosen = {"BNN_BUNDLE": path, "BNN_ENGINE": BUNDLES[bundle]}
    specs = choose_services(options, {**EVEN, **chosen})
    found = [Contestant(spec, options.form, "service") for spec in specs]
    folder: Path | None = options.peer_bundle
    if folder is None and bundle == ONNX_BUNDLE:
        folder = ROOT / path  # an absolute path stays as it is
    if folder is not None:
        found += [describe_peer(name, folder) for name in options.peer]
    return found


def _find_other(options: argparse.Namespace, bundle: str) -> Path | None:
    """The folder that takes the place of one of BUNDLES, if any."""
    return options.onnx_bundle if bundle == ONNX_BUNDLE else None


class Measurement:
    """One run of the tool."""

    def __init__(self, options: argparse.Namespace, server_cpus: Sequence[int]) -> None:
        self._options, self._cpus = options, server_cpus
        self._progress = Progress()
        self._report = Report("CPU time per request", describe_options(options))
        self._cells: list[Cell] = []

    async def run(self) -> int:
        """Measures every bundle; returns the exit status."""
        options = self._options
        sets = {TINY: generate_jpegs(options.seed, 1, SIZES["tiny"])}
        sets[PHOTOS] = (
            read_photos(options.photos)
            if options.photos
            else generate_jpegs(options.seed, 8, SIZES["photo"])
        )
        for bundle in options.bundle or BUNDLES:
            other = _find_other(options, bundle)
            title = bundle if other is None else f"{other.resolve().name}, --onnx-bundle"
            contestants = list_contestants(options, bundle)
            with tempfile.TemporaryDirectory() as folder:
                await self._measure_bundle(title, contestants, sets, Path(folder))
        add_tables(self._report, self._cells, options)
        self._progress.clear()
        return self._report.write(options.json, options.markdown)

    async def _measure_bundle(
        self,
        title: str,
        contestants: list[Contestant],
        sets: dict[str, list[EncodedImage]],
        folder: Path,
    ) -> None:
        self._progress.note(f"{title}: starting")
        with contextlib.ExitStack() as running:
            members = []
            for contestant in contestants:
                spec = contestant.spec
                server = running.enter_context(Server(spec, self._cpus))
                bare = running.enter_context(
                    BareLoop(
                        contestant.bare_kind,
                        contestant.python,
                        spec.folder,
                        spec.environment,
                        self._cpus,
                    )
                )
                await server.wait_until_ready()
                await bare.wait_until_ready()
                pool = Pool(server.address)
                running.callback(pool.close)
                members.append(Member(contestant, server, pool, bare))
            for kind, images in sets.items():
                files = _write_files(images, folder)
                agreement = await _compare_answers(members, images)
                for concurrency in self._options.concurrency:
                    rounds = await self._take_rounds(
                        f"{title}, {kind}, concurrency {concurrency}",
                        members,
                        images,
                        files,
                        concurrency,
                    )
                    self._cells.append(
                        _make_cell(title, kind, concurrency, members, rounds, agreement)
                    )

    async def _take_rounds(
        self,
        title: str,
        members: list[Member],
        images: list[EncodedImage],
        files: list[Path],
        concurrency: int,
    ) -> Rounds:
        rounds, options = Rounds(), self._options
        bodies = {
            m.contestant.name: [build_classify(image, m.contestant.form).data for image in images]
            for m in members
        }
        for member in members:
            await member.take_turn(bodies[member.contestant.name], concurrency, _WARM_UP_SECONDS)
        for number in range(options.repeats):
            for member in members if number % 2 == 0 else reversed(members):
                name = member.contestant.name
                self._progress.show(f"{title}: round {number + 1}/{options.repeats}, {name}")
                bare = await member.bare.run(files, options.seconds / 2)
                rounds.bare.setdefault(name, []).append(bare)
                turn = await member.take_turn(bodies[name], concurrency, options.seconds)
                rounds.turns.setdefault(name, []).append(turn)
                self._report.unfit += judge_cpu(turn.run.generator)
        self._progress.note(f"{title}: measured")
        return rounds


def _make_cell(
    bundle: str,
    kind: str,
    concurrency: int,
    members: list[Member],
    rounds: Rounds,
    agreement: dict[str, str],
) -> Cell:
    cell = Cell(bundle, kind, concurrency)
    for member in members:
        name = member.contestant.name
        turns = rounds.turns[name]
        usage = member.server.read_usage()
        cell.add(
            name=name,
            is_peer=member.contestant.is_peer,
            engine=member.bare.engine,
            cpu_ms=[turn.cpu_ms for turn in turns],
            rates=[turn.run.rate for turn in turns],
            latencies=[o.latency for turn in turns for o in turn.run.outcomes],
            bare_cpu_ms=[turn.cpu_ms for turn in rounds.bare[name]],
            bare_rates=[turn.rate for turn in rounds.bare[name]],
            usage=usage,
            agreement=agreement[name],
        )
    return cell


def _write_files(images: list[EncodedImage], folder: Path) -> list[Path]:
    files = [folder / f"{index:03}-{image.name}" for index, image in enumerate(images)]
    for path, image in zip(files, images, strict=True):
        path.write_bytes(image.data)
    return files


async def _compare_answers(members: list[Member], images: list[EncodedImage]) -> dict[str, str]:
    """By contestant: how many labels are those of the first one, and how far scores are away."""
    best: dict[str, list[tuple[str, float]]] = {}
    for member, image in itertools.product(members, images):
        request = build_classify(image, member.contestant.form)
        name = member.contestant.name
        try:
            answer = await ask(member.server.address, request, _ANSWER_SECONDS)
        except Lost as fault:
            raise ServerFault(f"{name}: no answer: {fault}") from fault
        best.setdefault(name, []).append(read_best(name, answer))
    first = next(iter(best.values()))
    texts = {}
    for name, answers in best.items():
        pairs = list(zip(first, answers, strict=True))
        same = sum(a[0] == b[0] for a, b in pairs)
        away = max(abs(a[1] - b[1]) for a, b in pairs)
        texts[name] = f"{same}/{len(pairs)}, {away:.3f}"
    return texts


def read_best(name: str, answer: Answer) -> tuple[str, float]:
    """The first label of an answer of the service or of a peer. Raises ServerFault."""
    content: Any = json.loads(answer.body)
    if answer.status != 200:
        raise ServerFault(f"{name}: expected 200, found {answer.status}")
    found = content["predictions"][0] if "predictions" in content else content
    return str(found["label"]), float(found["score"])
