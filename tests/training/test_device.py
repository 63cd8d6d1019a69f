"""Where and how exactly a run computes: as named, or as the machine is able to."""

import pytest
import torch

from encoder.errors import ConfigError
from training.device import choose_device, resolve_precision
from training.recipe import Recipe


def test_devices_are_taken_at_their_word():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("cuda:99", "abacus"):
        with pytest.raises(ConfigError, match=f"{name} is not usable here.*--device cpu"):
            choose_device(name)


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_where_the_processor_has_it(monkeypatch, native, precision):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert resolve_precision(Recipe(precision="auto"), torch.device("cpu")).precision == precision


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_named_is_kept(precision):
    assert resolve_precision(Recipe(precision=precision), torch.device("cpu")).precision == precision
