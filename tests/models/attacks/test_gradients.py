"""models.attacks.gradients: changes stay within eps, PGD finds what there is, NaN is refused."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from models.attacks.gradients import add_noise, clip, predict, round_within, run_pgd
from models.attacks.threat import Goal, Threat
from models.errors import NoGradients
from tests.models.small_networks import ByMeans, Masked


def make_pixels(count: int = 8, difference: int = 4) -> Tensor:
    """uint8, bluer than red."""
    pixels = torch.randint(100, 105, (count, 3, 6, 6), dtype=torch.uint8)
    pixels[:, 2] += difference
    return pixels


@given(st.integers(0, 2**31), st.floats(0.01, 255))
def test_every_change_stays_within_eps_and_a_pixel(seed: int, eps: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (3, 3, 4, 4), generator=generator).to(torch.uint8)
    wild = torch.randn(pixels.shape, generator=generator) * 300
    for found in (clip(wild, pixels, eps), add_noise(pixels, eps, seed)):
        assert (found - pixels.float()).abs().max() <= eps + 1e-4
        assert 0 <= found.min() <= found.max() <= 255
    rounded = round_within(clip(wild, pixels, eps), pixels, eps)
    assert rounded.dtype == torch.uint8
    assert (rounded.int() - pixels.int()).abs().max() <= eps


def test_pgd_crosses_a_linear_border_exactly_where_it_can() -> None:
    pixels, labels = make_pixels(), torch.zeros(8, dtype=torch.int64)
    goal = Goal(labels)
    for eps, fooled in ((1.0, False), (4.0, True)):  # the means differ by about 4: 2 x eps
        found = run_pgd(ByMeans(), pixels, goal, eps, Threat((eps,), steps=10))
        assert (found - pixels.float()).abs().max() <= eps
        assert goal.reached(predict(ByMeans(), found)).all().item() is fooled


def test_pgd_reaches_a_target() -> None:
    goal = Goal(torch.ones(8, dtype=torch.int64), targeted=True)
    found = run_pgd(ByMeans(), make_pixels(), goal, 4.0, Threat((4.0,), steps=10, targeted=True))
    assert goal.reached(predict(ByMeans(), found)).all()


def test_pgd_repeats_itself_and_leaves_fooled_images(seed: int) -> None:
    pixels, goal = make_pixels(), Goal(torch.zeros(8, dtype=torch.int64))
    threat = Threat((4.0,), steps=10, seed=seed)
    once, again = (run_pgd(ByMeans(), pixels, goal, 4.0, threat) for _ in range(2))
    assert torch.equal(once, again)
    on = run_pgd(ByMeans(), pixels, goal, 4.0, threat, goes_on=True)
    margins = [goal.margin(predict(ByMeans(), found)) for found in (once, on)]
    assert (margins[1] > margins[0]).all()


def test_without_gradients_or_steps_nothing_is_found() -> None:
    pixels, goal = make_pixels(), Goal(torch.zeros(8, dtype=torch.int64))
    for network, threat in (
        (Masked(), Threat((4.0,), steps=10)),
        (ByMeans(), Threat((4.0,), steps=10, step_size=0.0)),
    ):
        found = run_pgd(network, pixels, goal, 4.0, threat)
        assert not goal.reached(predict(network, found)).any()


class NotANumber(ByMeans):
    """A network whose gradients are NaN."""

    def forward(self, pixels: Tensor) -> Tensor:
        return super().forward(pixels) + 0 * torch.sqrt(pixels - pixels).sum((2, 3))[:, :2]


def test_gradients_that_are_no_numbers_are_refused() -> None:
    network: nn.Module = NotANumber()
    goal = Goal(torch.zeros(8, dtype=torch.int64))
    with pytest.raises(NoGradients, match=r"expected finite gradients .* found NaN"):
        run_pgd(network, make_pixels(), goal, 1.0, Threat((1.0,)))
