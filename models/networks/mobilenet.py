"""MobileNet-v1 (Howard et al. 2017), the float network that MeliusNet is compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

# (channels out at width 1, stride) of the 13 depthwise separable blocks
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    *((512, 1),) * 5,
    (1024, 2), (1024, 1),
)  # fmt: skip
EPS = 1e-3  # of every batch norm, as in Google's nets
FIRST_CHANNELS = 32


@dataclass(frozen=True)
class MobileNetSpec:
    """Width multiplies every channel count.

    Stem_stride 1 is ours, for images of 32 to 64 pixels.
    """

    name: str = "mobilenet_v1"
    width: float = 1.0
    stem_stride: int = 2


SPECS: dict[str, MobileNetSpec] = {
    spec.name: spec
    for spec in (
        MobileNetSpec("mobilenet_v1"),
        MobileNetSpec("mobilenet_v1_0.75", 0.75),
        MobileNetSpec("mobilenet_v1_0.5", 0.5),
        MobileNetSpec("mobilenet_v1_0.25", 0.25),
        MobileNetSpec("mobilenet_v1_0.25_small", 0.25, stem_stride=1),
        MobileNetSpec("mobilenet_v1_0.5_small", 0.5, stem_stride=1),
    )
}


def find_mobilenet_spec(name: str, **changes: object) -> MobileNetSpec:
    """The width variant called `name`. Raises ValueError naming the known ones."""
    if name not in SPECS:
        raise ValueError(f"unknown network {name!r}; known: {', '.join(SPECS)}")
    return replace(SPECS[name], **changes)  # type: ignore[arg-type]


class ConvBNReLU6(nn.Sequential):
    """Float convolution without bias, batch norm, ReLU6."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(
                channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False
            ),
            nn.BatchNorm2d(channels_out, eps=EPS),
            nn.ReLU6(inplace=True),
        )


class MobileNetV1(nn.Module):
    """Images [N, 3, H, W] -> logits [N, num_classes].

    H and W multiples of 32 (of 16 with stem_stride 1).
    """

    def __init__(self, spec: MobileNetSpec, num_classes: int = 1000) -> None:
        super().__init__()
        self.spec = spec
        self.num_classes = num_classes
        channels = int(FIRST_CHANNELS * spec.width)
        layers: list[nn.Module] = [ConvBNReLU6(3, channels, 3, spec.stem_stride)]
        for full_width, stride in BLOCKS:
            channels_out = int(full_width * spec.width)
            layers.append(ConvBNReLU6(channels, channels, 3, stride, groups=channels))
            layers.append(ConvBNReLU6(channels, channels_out, 1))
            channels = channels_out
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_in")
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.mean(self.features(x), dim=(2, 3)))  # type: ignore[no-any-return]
