"""The mean of the weights of trainings that began alike, and of those that they began with.

Networks trained on from the same weights lie in one basin of the loss: the mean of their weights is
often better than each of them (Wortsman et al. 2022, "Model soups"), and with the weights that they
began with it forgets less of what these knew (Wortsman et al. 2022, "Robust fine-tuning of
zero-shot models"). A binary weight becomes the sign of the mean of its latent weights. Means and
variances of the batch norms belong to no network of these, so they are estimated again.
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
from models.training.bundle_weights import measure_batch_norms
from models.training.checkpoint import Checkpoint, build_trained
from models.training.initial_weights import Start
from models.training.remake import check_finished, decode_again, finish_again


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
        _check_alike(first, checkpoint, start)
        check_finished(checkpoint, data)
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


def _check_alike(first: Checkpoint, other: Checkpoint, start: Start) -> None:
    for what in ("network", "changes", "preprocessing", "start"):
        if getattr(first, what) != getattr(other, what):
            raise CheckpointMismatch(
                f"expected runs that are alike; found the {what} {getattr(first, what)} and "
                f"{getattr(other, what)}. Give runs of one recipe, with other seeds."
            )
    if other.start != start.name:
        raise CheckpointMismatch(
            f"expected --start with the weights that the run began with, {other.start}; found "
            f"{start.name}. Give those."
        )
    if start.classes != other.data.classes or start.network != other.network:
        raise RecipeError(
            "expected initial weights of the same network and classes; found others, whose last "
            "layer was fitted anew. Such weights cannot be averaged with."
        )


def _state_of(start: Start, first: Checkpoint, images: LabelledImages) -> Mapping[str, Tensor]:
    network = build_trained(first)
    start.begin(network, first.network, first.data.classes)
    if not start.measured:
        measure_batch_norms(network, images, first.preprocessing)
    return network.state_dict()
