"""models.training.moving_average: the average of the weights so far, kept by the optimizer."""

import torch
from torch import nn

from models.training.moving_average import KEY, keep_average, take_average


def make_steps(decay: float, steps: int) -> tuple[nn.Linear, torch.optim.Optimizer, list[float]]:
    layer = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD([layer.weight], lr=1.0, momentum=0.5)
    keep_average(optimizer, decay)
    seen = [train(layer, optimizer, float(i)) for i in range(steps)]
    return layer, optimizer, seen


def train(layer: nn.Linear, optimizer: torch.optim.Optimizer, gradient: float) -> float:
    layer.weight.grad = torch.tensor([[gradient]])
    optimizer.step()
    return layer.weight.item()


def test_it_is_the_average_of_the_weights_after_each_step() -> None:
    layer, optimizer, seen = make_steps(0.9, 6)
    expected = seen[0]
    for value in seen[1:]:
        expected = 0.9 * expected + 0.1 * value
    take_average(optimizer)
    assert abs(layer.weight.item() - expected) < 1e-6
    assert len(set(seen)) > 3


def test_a_saved_optimizer_goes_on_with_it() -> None:
    layer, optimizer, _ = make_steps(0.9, 3)
    other = nn.Linear(1, 1, bias=False)
    other.load_state_dict(layer.state_dict())
    resumed = torch.optim.SGD([other.weight], lr=1.0, momentum=0.5)
    keep_average(resumed, 0.9)
    resumed.load_state_dict(optimizer.state_dict())
    for weights, steps in ((layer, optimizer), (other, resumed)):
        train(weights, steps, 2.0)
    assert torch.equal(optimizer.state[layer.weight][KEY], resumed.state[other.weight][KEY])


def test_weights_without_a_step_stay() -> None:
    layer = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    keep_average(optimizer, 0.9)
    before = layer.bias.item()
    train(layer, optimizer, 1.0)
    take_average(optimizer)
    assert layer.bias.item() == before
