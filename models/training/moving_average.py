"""The moving average of a training's weights, which may take their place at its end.

Source: Polyak and Juditsky 1992; exponential, as in most trainings of today. It lies in the state
of the optimizer, so that a checkpoint holds it and a resumed run goes on with it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer

KEY = "average"


def keep_average(optimizer: Optimizer, decay: float) -> None:
    """After each step the average is `decay` of itself and the rest of the new weights."""

    def note(optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        with torch.no_grad():
            for parameter, state in optimizer.state.items():
                if KEY in state:
                    state[KEY].lerp_(parameter, 1 - decay)
                else:
                    state[KEY] = parameter.detach().clone()

    optimizer.register_step_post_hook(note)


@torch.no_grad()
def take_average(optimizer: Optimizer) -> None:
    """All weights become their averages; those without a step stay."""
    for parameter, state in optimizer.state.items():
        if KEY in state:
            parameter.copy_(state[KEY])
