"""Where a run computes: named by the person, never fallen back from in silence."""

from dataclasses import replace

import torch

from encoder.errors import ConfigError
from training.recipe import Recipe


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """`auto` is a GPU if there is one, else the CPU; anything else is taken at its word.

    Args:
        name: "auto", or what torch calls the device.
        local_rank: number of this process on its machine; process n gets GPU n, unless `name` has a number.

    Raises:
        ConfigError: no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and local_rank:
        name = f"cuda:{local_rank}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {name} is not usable here ({str(error).splitlines()[0]}); use --device cpu"
        ) from error
    return device


def resolve_precision(recipe: Recipe, device: torch.device) -> Recipe:
    """The recipe with precision "auto" settled: bf16 where the device computes it natively, else fp32."""
    if recipe.precision != "auto":
        return recipe
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return replace(recipe, precision="bf16" if native else "fp32")
