"""Changes whole batches of images at random: windows, colours and blur; and normalises them.

The images are uint8 and stay on their device; evaluation sees their centre. All randomness comes in
as a table of uniform numbers, one row per image: the same images come out whatever the device, and
however many processes share a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from runtime.images import Preprocessing

DRAWS = 5  # uniform numbers per image
COLOR_DRAWS = 5  # and of jitter_colors
BLUR_DRAWS = 2  # and of blur
MIX_DRAWS = 4  # and of paste_windows
PAD = 4  # pixels of `crop`, as in the authors' CIFAR-10 recipe
SIGMAS = (0.1, 2.0)  # pixels, of `blur` in an image of SIGMAS_AT; they scale with the image
SIGMAS_AT = 224
AT_A_TIME = 256  # images that are scaled in float
ASPECT = 4 / 3  # of `resized_crop`: from 3/4 to 4/3
#: red, green, blue -> brightness Y and two axes of colour, I and Q (the transform of NTSC)
YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


def draw(count: int, generator: torch.Generator, numbers: int = DRAWS) -> Tensor:
    """The random numbers of augmentations: float32 [count, numbers] in 0..1, on the CPU."""
    return torch.rand(count, numbers, generator=generator)


def augment_crop(pixels: Tensor, draws: Tensor, side: int, _min_area: float) -> Tensor:
    """A random window of the image with a black border of PAD, and horizontal flip.

    Uint8 [N, 3, H, W] -> uint8 [N, 3, side, side].
    """
    n, _, height, width = pixels.shape
    padded = F.pad(pixels, (PAD, PAD, PAD, PAD))
    draws = draws.to(pixels.device)
    top = (draws[:, 0:1] * (height + 2 * PAD - side + 1)).long()
    left = (draws[:, 1:2] * (width + 2 * PAD - side + 1)).long()
    across = torch.arange(side, device=pixels.device)
    columns = torch.where(draws[:, 2:3] < 0.5, across.flip(0), across) + left
    rows = across + top
    image = torch.arange(n, device=pixels.device)[:, None, None]
    return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def augment_resized_crop(pixels: Tensor, draws: Tensor, side: int, min_area: float) -> Tensor:
    """A random part of at least `min_area`, aspect 3/4..4/3, scaled (bilinear) to the side; flip.

    Uint8 [N, 3, H, W] -> uint8 [N, 3, side, side].
    """
    draws = draws.to(pixels.device)
    share = min_area + (1 - min_area) * draws[:, 0]
    ratio = ((2 * draws[:, 1] - 1) * math.log(ASPECT)).exp()
    height, width = (share / ratio).sqrt().clamp(max=1), (share * ratio).sqrt().clamp(max=1)
    centre_y, centre_x = (2 * draws[:, 2] - 1) * (1 - height), (2 * draws[:, 3] - 1) * (1 - width)
    sign = torch.where(draws[:, 4] < 0.5, -1.0, 1.0)
    zero = torch.zeros_like(share)
    theta = torch.stack((sign * width, zero, centre_x, zero, height, centre_y), 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, [len(pixels), 3, side, side], align_corners=False)
    sampled = F.grid_sample(pixels.float(), grid, padding_mode="reflection", align_corners=False)
    return sampled.round_().clamp_(0, 255).to(torch.uint8)


#: (pixels, draws, side, min_area) -> pixels of side x side
Augmentation = Callable[[Tensor, Tensor, int, float], Tensor]
AUGMENTATIONS: dict[str, Augmentation] = {
    "crop": augment_crop,
    "resized_crop": augment_resized_crop,
}


def jitter_colors(pixels: Tensor, draws: Tensor, strength: float) -> Tensor:
    """Brightness, contrast and saturation times 1 +- 0.8 `strength`, hue turned by up to 0.2
    `strength` of a circle; 0.2 `strength` of the images lose all colour.

    The ranges are SimCLR's (Chen et al. 2020, appendix A). Hue turns in the plane of I and Q: all
    of it is one matrix per image.

    Uint8 [N, 3, H, W], float [N, COLOR_DRAWS] -> uint8 [N, 3, H, W].
    """
    draws = draws.to(pixels.device)
    swing = 2 * draws - 1
    brightness, contrast, saturation = (1 + 0.8 * strength * swing[:, :3]).unbind(1)
    saturation = saturation * (draws[:, 4] >= 0.2 * strength)
    turn = 2 * math.pi * 0.2 * strength * swing[:, 3]
    cos, sin = saturation * turn.cos(), saturation * turn.sin()
    one, zero = torch.ones_like(cos), torch.zeros_like(cos)
    in_yiq = torch.stack((one, zero, zero, zero, cos, -sin, zero, sin, cos), 1).view(-1, 3, 3)
    to_yiq = torch.tensor(YIQ, device=pixels.device)
    gain = (contrast * brightness)[:, None, None]
    matrix = gain * (torch.linalg.inv(to_yiq) @ in_yiq @ to_yiq)
    flat = pixels.float().flatten(2)
    mean = (to_yiq[0] @ flat).mean(1)  # brightness of each image: contrast is about it
    offset = ((1 - contrast) * brightness * mean)[:, None, None]
    changed = torch.baddbmm(offset, matrix, flat)
    return changed.round_().clamp_(0, 255).to(torch.uint8).view_as(pixels)


def blur(pixels: Tensor, draws: Tensor, share: float) -> Tensor:
    """Blurs about a `share` of the images, as if they were out of focus or enlarged.

    Gaussian blur with SimCLR's deviations (Chen et al. 2020, appendix A), SIGMAS. It is computed as
    two matrix products per image, over its rows and columns. At a border only pixels inside count.

    Uint8 [N, 3, H, W], float [N, BLUR_DRAWS] -> uint8 [N, 3, H, W].
    """
    draws = draws.to(pixels.device)
    low, high = (sigma * pixels.shape[-1] / SIGMAS_AT for sigma in SIGMAS)
    chosen = draws[:, 0] < share
    sigma = torch.where(chosen, low + (high - low) * draws[:, 1], 1e-3)
    down, across = (_gaussians(side, sigma) for side in pixels.shape[-2:])
    blurred = down[:, None] @ pixels.float() @ across[:, None].mT
    return blurred.round_().clamp_(0, 255).to(torch.uint8)


def paste_windows(pixels: Tensor, draws: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """CutMix (Yun et al. 2019): about a `share` of the images get a window of another image, at the
    same place; the last image of the batch is the other one of the first, and so on.

    The window's share of the area is drawn evenly from 0..1 before it is cut at the border. Uint8
    [N, 3, H, W], float [N, MIX_DRAWS] -> the same, and what is left of each image, float [N].
    """
    height, width = pixels.shape[-2:]
    draws = draws.to(pixels.device)
    half = torch.where(draws[:, 0] < share, draws[:, 1].sqrt() / 2, 0.0)
    inside = []
    for centre, side in ((draws[:, 2], height), (draws[:, 3], width)):
        place = (torch.arange(side, device=pixels.device) + 0.5) / side
        inside.append((place - centre[:, None]).abs() < half[:, None])
    window = inside[0][:, :, None] & inside[1][:, None, :]
    mixed = torch.where(window[:, None], pixels.flip(0), pixels)
    return mixed, 1 - window.float().mean((1, 2))


def _gaussians(side: int, sigma: Tensor) -> Tensor:
    """[N] -> [N, side, side]: row i weighs all places by their distance from i, in sum 1."""
    place = torch.arange(side, dtype=torch.float32, device=sigma.device)
    distance = (place - place[:, None]).square()
    return torch.softmax(-distance / (2 * sigma.square())[:, None, None], -1)


def view_centre(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """The centre of square images of any size, scaled as in evaluation and serving.

    Uint8 [N, 3, H, H] -> uint8 [N, 3, crop, crop].
    """
    resize, side = preprocessing.resize, preprocessing.crop
    if pixels.shape[2] != resize:
        pixels = torch.cat([_scale(some, resize) for some in pixels.split(AT_A_TIME)])
    top = (resize - side) // 2
    return pixels[..., top : top + side, top : top + side]


def _scale(pixels: Tensor, side: int) -> Tensor:
    scaled = F.interpolate(pixels.float(), (side, side), mode="bilinear", antialias=True)
    return scaled.round_().clamp_(0, 255).to(torch.uint8)


def normalize(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 [N, 3, S, S] -> float32 of the same shape, (pixel - mean) / std per channel."""
    mean = torch.tensor(preprocessing.mean, device=pixels.device).view(3, 1, 1)
    std = torch.tensor(preprocessing.std, device=pixels.device).view(3, 1, 1)
    return (pixels.float() - mean) / std
