"""MoCo v3's augmentation (arXiv:2104.02057) as batched tensor operations, each picture with its own draw.

Crop, mirror and turn are one resampling. The pictures come as squares whose true aspect ratio is given beside them,
so that the crops have the distribution of a random resized crop of the true picture. One difference from the
published augmentation: the order of the four colour changes is drawn once a batch, not once a picture.
"""

# B batch, S side of a view, Q side of a stored picture.

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

# ImageNet's; a masked patch is 0 after normalisation, so this is also the colour of a masked patch.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

LUMA = (0.299, 0.587, 0.114)


def uniform(low: float, high: float, size: int, generator: Generator) -> Tensor:
    """Uniform draws in [low, high), float32, shape (size,), on the generator's device."""
    return torch.rand(size, generator=generator, device=generator.device) * (high - low) + low


def random_views(
    pictures_B3QQ: Tensor,
    aspect_B: Tensor,
    size: int,
    *,
    crop_area: tuple[float, float],
    rotation_deg: float,
    flip_prob: float,
    generator: Generator,
) -> Tensor:
    """Crop, turn, mirror and resize each picture to (size, size) in one bilinear resampling.

    Args:
        pictures_B3QQ: float in [0, 1], each squeezed to a square, shape (B, 3, Q, Q).
        aspect_B: width / height of each picture before it was squeezed, shape (B,).
        size: side of a view.
        crop_area: smallest and largest area of the crop as a share of the picture.
        rotation_deg: turned by up to this angle either way, in the geometry of the true picture.
        flip_prob: share of the views mirrored.
        generator: source of all draws.

    Returns:
        Views, float, shape (B, 3, size, size). What a turn brings in from outside is the mirrored picture.
    """
    B = len(pictures_B3QQ)
    area = uniform(*crop_area, B, generator)
    crop_aspect = uniform(math.log(3 / 4), math.log(4 / 3), B, generator).exp()
    # The true picture has height 1 and width `aspect`; crop sides as shares of its sides, at most 1.
    width = (area * crop_aspect / aspect_B).sqrt().clamp(max=1.0)
    height = (area * aspect_B / crop_aspect).sqrt().clamp(max=1.0)
    centre_x = (uniform(0, 1, B, generator) * 2 - 1) * (1 - width)
    centre_y = (uniform(0, 1, B, generator) * 2 - 1) * (1 - height)
    mirror = 1.0 - 2.0 * (uniform(0, 1, B, generator) < flip_prob).float()
    angle = uniform(-1, 1, B, generator) * math.radians(rotation_deg)
    cos, sin = angle.cos(), angle.sin()
    # Output square -> crop (a stretch, mirrored) -> turn in the true geometry -> squeezed square. In the true
    # picture a step in x is `aspect` times as long as the same share of its height.
    theta = torch.stack(
        [
            torch.stack([mirror * width * cos, -height * sin / aspect_B, centre_x], dim=1),
            torch.stack([mirror * width * sin * aspect_B, height * cos, centre_y], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(theta, [B, 3, size, size], align_corners=False)
    return functional.grid_sample(
        pictures_B3QQ, grid.to(pictures_B3QQ.dtype), padding_mode="reflection", align_corners=False
    )


def centre_views(pictures_B3QQ: Tensor, aspect_B: Tensor, size: int) -> Tensor:
    """The largest centred square of each true picture, as a server sees it; shapes as in `random_views`."""
    B = len(pictures_B3QQ)
    zero = torch.zeros_like(aspect_B)
    width, height = (1 / aspect_B).clamp(max=1.0), aspect_B.clamp(max=1.0)
    theta = torch.stack([torch.stack([width, zero, zero], dim=1), torch.stack([zero, height, zero], dim=1)], dim=1)
    grid = functional.affine_grid(theta, [B, 3, size, size], align_corners=False)
    return functional.grid_sample(
        pictures_B3QQ, grid.to(pictures_B3QQ.dtype), padding_mode="reflection", align_corners=False
    )


def greyscale(views_B3SS: Tensor) -> Tensor:
    """ITU-R 601 luma on all three channels."""
    weights = views_B3SS.new_tensor(LUMA).view(1, 3, 1, 1)
    return (views_B3SS * weights).sum(dim=1, keepdim=True).expand_as(views_B3SS)


def _blend(a: Tensor, b: Tensor, factor_B: Tensor) -> Tensor:
    """Factor * a + (1 - factor) * b, clipped to [0, 1]: how brightness, contrast and saturation are defined."""
    return torch.lerp(b.expand_as(a), a, factor_B.view(-1, 1, 1, 1)).clamp(0, 1)


def shift_hue(views_B3SS: Tensor, shift_B: Tensor) -> Tensor:
    """Turn the hue by `shift_B` full circles, in HSV."""
    red, green, blue = views_B3SS.unbind(1)
    value, _ = views_B3SS.max(dim=1)
    chroma = value - views_B3SS.min(dim=1).values
    safe = chroma.clamp_min(1e-8)
    hue = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    hue = (hue + 6 * shift_B.view(-1, 1, 1)) % 6
    channels = []
    for offset in (5, 3, 1):  # HSV to RGB in closed form: f(n) = V - C * max(0, min(k, 4 - k, 1))
        k = (offset + hue) % 6
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, dim=1)


def colour_jitter(views_B3SS: Tensor, strength: tuple[float, float, float, float], generator: Generator) -> Tensor:
    """Brightness, contrast, saturation and hue, in a random order."""
    brightness, contrast, saturation, hue = strength
    B = len(views_B3SS)
    order = torch.randperm(4, generator=generator, device=generator.device).tolist()
    for change in order:
        if change == 0:
            factor = uniform(max(0.0, 1 - brightness), 1 + brightness, B, generator)
            views_B3SS = _blend(views_B3SS, views_B3SS.new_zeros(()), factor)
        elif change == 1:
            factor = uniform(max(0.0, 1 - contrast), 1 + contrast, B, generator)
            mean_B111 = greyscale(views_B3SS)[:, :1].mean(dim=(2, 3), keepdim=True)
            views_B3SS = _blend(views_B3SS, mean_B111, factor)
        elif change == 2:
            factor = uniform(max(0.0, 1 - saturation), 1 + saturation, B, generator)
            views_B3SS = _blend(views_B3SS, greyscale(views_B3SS), factor)
        else:
            views_B3SS = shift_hue(views_B3SS, uniform(-hue, hue, B, generator))
    return views_B3SS


def gaussian_blur(views_B3SS: Tensor, sigma_B: Tensor) -> Tensor:
    """Blur each view with its own sigma (pixels), mirrored at the edges, as two one-dimensional convolutions."""
    B, C, S, _ = views_B3SS.shape
    radius = min(max(1, math.ceil(3 * float(sigma_B.max()))), S - 1)
    offset = torch.arange(-radius, radius + 1, device=views_B3SS.device, dtype=views_B3SS.dtype)
    kernel_BK = (-0.5 * (offset / sigma_B[:, None].clamp_min(1e-3)) ** 2).exp()
    kernel_BK = kernel_BK / kernel_BK.sum(dim=1, keepdim=True)
    weight = kernel_BK.repeat_interleave(C, dim=0)[:, None, None, :]
    flat = views_B3SS.reshape(1, B * C, S, S)
    flat = functional.conv2d(functional.pad(flat, (radius, radius, 0, 0), "reflect"), weight, groups=B * C)
    flat = functional.conv2d(
        functional.pad(flat, (0, 0, radius, radius), "reflect"), weight.transpose(2, 3), groups=B * C
    )
    return flat.reshape(B, C, S, S)


def _sometimes(views_B3SS: Tensor, changed_B3SS: Tensor, prob: float, generator: Generator) -> Tensor:
    """The changed view with probability `prob`, drawn for each picture, else the view as it was."""
    chosen = uniform(0, 1, len(views_B3SS), generator) < prob
    return torch.where(chosen.view(-1, 1, 1, 1), changed_B3SS, views_B3SS)


def recolour(
    views_B3SS: Tensor,
    *,
    jitter: tuple[float, float, float, float],
    jitter_prob: float,
    greyscale_prob: float,
    blur_prob: float,
    solarise_prob: float,
    generator: Generator,
) -> Tensor:
    """Colour jitter, greyscale, blur and solarise, each with its probability; float in [0, 1] in and out."""
    views = _sometimes(views_B3SS, colour_jitter(views_B3SS, jitter, generator), jitter_prob, generator)
    views = _sometimes(views, greyscale(views), greyscale_prob, generator)
    if blur_prob > 0:
        # Published for views of 224 pixels: sigma 0.1 to 2 pixels there, in proportion elsewhere.
        sigma = uniform(0.1, 2.0, len(views), generator) * views.shape[-1] / 224
        views = _sometimes(views, gaussian_blur(views, sigma), blur_prob, generator)
    if solarise_prob > 0:
        views = _sometimes(views, torch.where(views >= 0.5, 1 - views, views), solarise_prob, generator)
    return views


def normalise(views_B3SS: Tensor) -> Tensor:
    """Subtract ImageNet's mean and divide by its standard deviation; input in [0, 1]."""
    mean, std = views_B3SS.new_tensor(MEAN), views_B3SS.new_tensor(STD)
    return (views_B3SS - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
