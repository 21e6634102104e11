"""Runs attacks on a target: what stays right as computed, rounded to levels, and as a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from tqdm import tqdm

from models.attacks.checks import HUGE, check_results
from models.attacks.defence import Shown, measure_defence
from models.attacks.gradients import add_noise, predict, round_within, run_pgd
from models.attacks.intervals import share_of
from models.attacks.library import run_by_gradients, run_square
from models.attacks.target import Target
from models.attacks.threat import WHITE_BOX, Threat, choose_goal
from models.data.decoded import LabelledImages, decode_images
from models.data.image_files import ImageFiles
from models.errors import DataError
from models.evaluation.accuracy import find_columns
from models.records.attack import OWN, WHITE, AttackResult, Check, DefenceFigures, Queries, Share

LEAST = 50  # right images; with fewer an interval is useless


@dataclass(frozen=True)
class Images:
    """What is attacked: pixels uint8 [N, 3, S, S] and labels int64 [N] of images that the target
    is right on, `shown` with the others looked at, and the share that was right.
    """

    pixels: Tensor
    labels: Tensor
    shown: Shown
    clean: Share


@dataclass
class Outcome:
    """All figures of a run, but for those about where it was made."""

    results: list[AttackResult] = field(default_factory=list)
    queries: list[Queries] = field(default_factory=list)
    checks: tuple[Check, ...] = ()
    defence: DefenceFigures | None = None


def find_labels(target: Target, images: LabelledImages, labels: Sequence[str]) -> Tensor:
    """int64 [N]: the images' classes as the target counts them. Raises DataError for others."""
    if not target.grouped:
        columns = find_columns(target.engine.bundle.manifest, images.classes, labels)
    elif lacking := [name for name in images.classes if name not in target.classes]:
        raise DataError(
            f"expected data of the kinds {', '.join(target.classes[:5])}, ...; found "
            f"{', '.join(lacking[:5])} too. Give other data or another list of kinds."
        )
    else:
        columns = [target.classes.index(name) for name in images.classes]
    return torch.tensor(columns)[images.labels]


def choose_images(
    target: Target, files: ImageFiles, labels: Sequence[str], count: int, seed: int
) -> Images:
    """The first `count` of all, in an order drawn by the seed, that the engine is right on.

    Raises DataError if there are fewer than LEAST.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(files), generator=generator).tolist()
    pixels: list[Tensor] = []
    truths: list[Tensor] = []
    right: list[Tensor] = []
    for start in range(0, len(order), count):
        images = decode_images(files.select(order[start : start + count]), target.preprocessing)
        truths.append(find_labels(target, images, labels))
        right.append(target.score(images.pixels).argmax(1) == truths[-1])
        pixels.append(images.pixels)
        if sum(int(some.sum()) for some in right) >= count:
            break
    mask = torch.cat(right) if right else torch.zeros(0, dtype=torch.bool)
    if (found := int(mask.sum())) < LEAST:
        raise DataError(
            f"expected at least {LEAST} images that the network is right on; found {found} of "
            f"{len(mask)}. Give more images, or more of its kinds."
        )
    shown = Shown(torch.cat(pixels), torch.cat(truths))
    rows = torch.nonzero(mask)[:count, 0]
    return Images(shown.pixels[rows], shown.labels[rows], shown, share_of(mask))


Masks = dict[str, dict[float, Tensor]]  # attack -> eps -> bool [N]


class Measurement:
    """One run: attacks on a target's images, one after the other, each at all eps."""

    def __init__(self, target: Target, images: Images, threat: Threat) -> None:
        self.target, self.images, self.threat = target, images, threat
        self.goal = choose_goal(images.labels, len(target.classes), threat)
        self.outcome = Outcome()
        self._stays: Masks = {}
        self._rounded: Masks = {}
        self._files: Masks = {}
        self._found: dict[str, dict[float, Tensor]] = {}  # attack -> eps -> changed pixels

    def run(
        self,
        attacks: Sequence[str],
        surrogate: nn.Module | None = None,
        noise_defence: float | None = None,
        progress: bool = False,
    ) -> Outcome:
        """Raises NoGradients."""
        network = self.target.network
        names = list(attacks)
        by_gradients = network is not None and bool(set(WHITE_BOX) & set(attacks))
        if network is not None and (by_gradients or noise_defence is not None):
            names.insert(names.index("noise") + 1 if "noise" in names else 0, OWN)
        pairs = [(name, eps) for name in names for eps in self.threat.eps]
        for name, eps in tqdm(pairs, "attacking", disable=None if progress else True, leave=False):
            self._record(name, eps, self._attack(name, eps, surrogate))
        if by_gradients:
            self._combine([name for name in (OWN, *WHITE_BOX) if name in self._stays])
        self.outcome.checks = check_results(self._stays, *self._probe())
        if noise_defence is not None and network is not None:
            self.outcome.defence = measure_defence(
                *(network, noise_defence, self.images.shown, self.images.pixels),
                *(self.goal, self.threat, self._found[OWN]),
            )
        return self.outcome

    def _attack(self, name: str, eps: float, surrogate: nn.Module | None) -> Tensor:
        """What an attack makes of the images, float32. A smaller change that fools every image is
        taken again: it is allowed at larger eps, too.
        """
        pixels, goal, threat = self.images.pixels, self.goal, self.threat
        if name == "noise":
            return add_noise(pixels, eps, threat.seed)
        if name == "square":
            return self._attack_by_scores(eps)
        network = surrogate if name == "transfer" else self.target.network
        assert network is not None
        before = self._stays.get(name, {})
        smaller = [e for e in before if not before[e].any()]
        if smaller and name != "transfer":
            return self._found[name][smaller[0]]
        if name in (OWN, "transfer"):
            goes_on = name == "transfer"
            return run_pgd(network, pixels, goal, eps, threat, goes_on=goes_on)
        return run_by_gradients(name, network, pixels, goal, eps, threat)

    def _attack_by_scores(self, eps: float) -> Tensor:
        found, needed = run_square(
            self.target.score, self.images.pixels, self.goal, eps, self.threat
        )
        counts = sorted(count for count in needed if count is not None)
        self.outcome.queries.append(Queries(eps=eps, images=len(needed), needed=tuple(counts)))
        return found

    def _record(self, name: str, eps: float, found: Tensor) -> None:
        target, goal = self.target, self.goal
        self._found.setdefault(name, {})[eps] = found
        rounded = round_within(found, self.images.pixels, eps)
        through = target.network if name in (OWN, *WHITE_BOX) else None
        answer: Callable[[Tensor], Tensor] = (
            target.score if through is None else lambda pixels: predict(through, pixels)
        )
        for masks, logits in (
            (self._stays, answer(found)),
            (self._rounded, answer(rounded)),
            (self._files, target.answer_files(rounded)),
        ):
            masks.setdefault(name, {})[eps] = ~goal.reached(logits)
        self._append(name, eps)

    def _append(self, name: str, eps: float) -> None:
        stays, rounded, file = (
            share_of(masks[name][eps]) for masks in (self._stays, self._rounded, self._files)
        )
        self.outcome.results.append(
            AttackResult(attack=name, eps=eps, stays=stays, rounded=rounded, file=file)
        )

    def _combine(self, names: Sequence[str]) -> None:
        """Each image counts as right only if it stays right under all of these attacks."""
        for eps in self.threat.eps:
            for masks in (self._stays, self._rounded, self._files):
                together = torch.stack([masks[name][eps] for name in names]).all(0)
                masks.setdefault(WHITE, {})[eps] = together
            self._append(WHITE, eps)

    def _probe(self) -> tuple[Tensor | None, Mapping[float, Tensor] | None]:
        """Our PGD once more: at eps HUGE, and with twice the steps."""
        network, pixels, threat = self.target.network, self.images.pixels, self.threat
        if network is None or OWN not in self._stays:
            return None, None

        def stays(eps: float, steps: int) -> Tensor:
            found = run_pgd(network, pixels, self.goal, eps, threat, steps)
            return ~self.goal.reached(predict(network, found))

        return stays(HUGE, threat.steps), {e: stays(e, 2 * threat.steps) for e in threat.eps}
