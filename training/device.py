"""Where a run computes: named by the person, never fallen back from in silence."""

import torch

from encoder.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """`auto` is the first GPU if there is one, else the CPU; anything else is taken at its word.

    Raises:
        ConfigError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {name} is not usable here ({str(error).splitlines()[0]}); use --device cpu"
        ) from error
    return device
