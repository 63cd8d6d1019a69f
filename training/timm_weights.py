"""Pretrained weights by their name in timm, which fetches them from its hub or finds them in its cache."""

import timm
from torch import Tensor

from encoder.errors import ConfigError


def pretrained_tensors(name: str) -> dict[str, Tensor]:
    """The state of a pretrained timm model.

    Raises:
        ConfigError: timm has no such model, or its weights could not be fetched.
    """
    try:
        model = timm.create_model(name, pretrained=True)
    except Exception as error:  # unknown names, hub errors and network errors have no common type
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"timm:{name} could not be had ({reason}); see timm.list_models(pretrained=True), or give a file"
        ) from error
    return dict(model.state_dict())
