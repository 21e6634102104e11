"""The mean of the weights of trainings that began alike, and of those that they began with.

Networks trained on from the same weights lie in one basin of the loss: the mean of their weights is
often better than each of them (Wortsman et al. 2022, "Model soups"), and with the weights that they
began with it forgets less of what these knew (Wortsman et al. 2022, "Robust fine-tuning of
zero-shot models"). A binary weight becomes the sign of the mean of its latent weights. Means and
variances of the batch norms belong to no network of these, so they are estimated again. Those of a
bundle are measured first (models.training.bundle_weights), on other images than when the runs
began: their scales and offsets are then nearly the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from models.data.datasets import DataSet
from models.data.decoded import LabelledImages
from models.errors import CheckpointMismatch, RecipeError
from models.records.figures import Averaging
from models.training.bundle_weights import draw_batches, measure_batch_norms
from models.training.checkpoint import Checkpoint, build_trained
from models.training.initial_weights import Start
from models.training.remake import check_finished, decode_again, finish_again

ALIKE = ("network", "changes", "preprocessing", "start")  # of runs that may be averaged


def average(
    checkpoints: Sequence[Checkpoint],
    start: Start,
    share: float,
    data: DataSet,
    table: Path,
    progress: bool = False,
) -> Checkpoint:
    """The first checkpoint, with weights of which `share` (above 0, at most 1) are the mean of all
    checkpoints, and the rest those of `start`.

    checkpoints: finished trainings of one network on the same images, all from `start`. Writes the
    confusion table, a .csv file. Raises RecipeError, CheckpointMismatch, DataError.
    """
    if not 0 < share <= 1:
        raise RecipeError(f"expected --share above 0, at most 1; found {share}")
    first = checkpoints[0]
    for checkpoint in checkpoints:
        _check_alike(first, checkpoint)
        check_finished(checkpoint, data)
    _check_start(first, start, share)
    images = decode_again(first, data, first.preprocessing, progress)
    network = build_trained(first)
    states: list[Mapping[str, Tensor]] = [checkpoint.state.model for checkpoint in checkpoints]
    weights = [share / len(states)] * len(states)
    if share < 1:
        states.append(_state_of(start, first, images["train"]))
        weights.append(1 - share)
    network.load_state_dict(mean_of(states, weights))
    preprocessing = first.preprocessing
    made, how = finish_again(first, network, images, data, preprocessing, table, progress)
    return replace(made, averaging=Averaging(runs=len(checkpoints), share=share, **how))


def mean_of(states: Sequence[Mapping[str, Tensor]], weights: Sequence[float]) -> dict[str, Tensor]:
    """The weighted sum of each floating-point tensor, computed in float64; of others the first."""

    def mean(key: str, first: Tensor) -> Tensor:
        if not first.is_floating_point():
            return first
        terms = (w * state[key].double() for w, state in zip(weights, states, strict=True))
        return sum(terms, torch.zeros(())).to(first.dtype)

    return {key: mean(key, tensor) for key, tensor in states[0].items()}


def _check_alike(first: Checkpoint, other: Checkpoint) -> None:
    recipes = [replace(checkpoint.recipe, seed=0) for checkpoint in (first, other)]
    what = [name for name in ALIKE if getattr(first, name) != getattr(other, name)]
    if what or recipes[0] != recipes[1]:
        named = ", ".join(what) or "recipe"
        raise CheckpointMismatch(
            f"expected runs that differ in their seeds alone; found another {named}. Give runs of "
            "one recipe that began with the same weights."
        )


def _check_start(run: Checkpoint, start: Start, share: float) -> None:
    if run.start is None:
        raise CheckpointMismatch(
            "expected runs that began with the weights of others (models.train --start); found "
            "random initial weights. Their mean is of no use."
        )
    if run.start != start.name:
        raise CheckpointMismatch(
            f"expected --start with the weights that the runs began with, {run.start}; found "
            f"{start.name}. Give those."
        )
    same = start.classes == run.data.classes and start.network == run.network
    if share < 1 and not same:
        raise RecipeError(
            "expected initial weights of the same network and classes; found others, whose last "
            "layer was fitted anew. Give --share 1, which leaves them out."
        )


def _state_of(start: Start, first: Checkpoint, images: LabelledImages) -> Mapping[str, Tensor]:
    network = build_trained(first)
    start.begin(network, first.network, first.data.classes)
    if not start.measured:
        measure_batch_norms(network, draw_batches(images, first.preprocessing))
    return network.state_dict()
