"""The stem that begins from the statistics of pictures: its filters against principal directions by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import write_picture_folder

from encoder.errors import ConfigError
from training.checkpoint import build_model, load_model
from training.recipe import Recipe
from training.stem_statistics import SHRINKAGE, learn_stem, scale_residuals
from training.trainer import train
from training.vit import ConvStem, build_vit

RECIPE = Recipe(
    encoder="nano", image_size=32, patch_size=8, stem="conv", hidden_dim=32, projection_dim=16, batch_size=8, epochs=1,
    lr=1e-3, stem_init="pca", residual_scale=0.1,
)  # fmt: skip


def smooth_pictures(num: int = 40, side: int = 32) -> torch.Tensor:
    """Noise with neighbours alike, as photographs have them."""
    noise = torch.randn(num, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(noise, size=(side, side), mode="bicubic") + 0.3


def every_window(pictures: torch.Tensor) -> np.ndarray:
    """All windows of a 3 x 3 filter of stride 2 with a border of zeros, by loops, (N, 27)."""
    padded = np.pad(pictures.double().numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    num_places = pictures.shape[-1] // 2
    return np.stack(
        [
            padded[b, :, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3].ravel()
            for b in range(len(padded))
            for y in range(num_places)
            for x in range(num_places)
        ]
    )


def test_the_first_filters_are_the_principal_directions_in_both_signs():
    pictures = smooth_pictures()
    vit = build_vit("nano", image_size=32, patch_size=8, stem="conv")
    learn_stem(vit, pictures, seed=0)
    assert isinstance(vit.patch_embed, ConvStem)
    conv = vit.patch_embed.layers[0]
    weight = conv.weight.detach().double().flatten(1).numpy()
    half = len(weight) // 2
    np.testing.assert_array_equal(weight[:half], -weight[half:])

    windows = every_window(pictures)
    variance, directions = np.linalg.eigh(np.cov(windows.T, bias=True))
    variance, directions = variance[::-1], directions[:, ::-1]
    scale = 1 / np.sqrt(variance + SHRINKAGE * variance.mean())
    for number in range(3):  # the widest are well apart from the next, so their sign alone is open
        expected = directions[:, number] * scale[number]
        np.testing.assert_allclose(abs(weight[number] @ expected), expected @ expected, rtol=1e-3)
    response = windows @ weight[:half].T + conv.bias.detach().double().numpy()[:half]
    np.testing.assert_allclose(response.mean(axis=0), 0, atol=1e-4)


def test_the_largest_part_of_a_direction_is_positive():
    """eigh leaves the sign open, and with it what the next layer sees: another machine would begin elsewhere."""
    vit = build_vit("nano", image_size=32, patch_size=8, stem="conv")
    learn_stem(vit, smooth_pictures(), seed=0)
    assert isinstance(vit.patch_embed, ConvStem)
    first = vit.patch_embed.layers[0].weight.detach().flatten(1)
    for filters in (first[: len(first) // 2][:27], vit.patch_embed.proj.weight.detach().flatten(1)[:64]):
        assert all(one[one.abs().argmax()] > 0 for one in filters)


def test_it_is_the_same_for_the_same_seed_and_finite_for_pictures_all_the_same():
    grey = torch.zeros(3, 3, 32, 32)
    states = []
    for _ in range(2):
        vit = build_vit("nano", image_size=32, patch_size=8, stem="conv")
        learn_stem(vit, smooth_pictures(), seed=5)
        states.append(vit.patch_embed.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    learn_stem(vit, grey, seed=5)
    assert all(torch.isfinite(value).all() for value in vit.patch_embed.state_dict().values())


def test_residuals_are_scaled_and_nothing_else():
    plain, scaled = (build_vit("nano", image_size=32, patch_size=8) for _ in range(2))
    scaled.load_state_dict(plain.state_dict())
    scale_residuals(scaled, 0.0)
    pixels = smooth_pictures(2)
    tokens, _ = scaled.embed_tokens(pixels)
    torch.testing.assert_close(scaled(pixels).patches_BPD, scaled.norm(tokens)[:, 1:])
    changed = [name for name, value in plain.state_dict().items() if not torch.equal(value, scaled.state_dict()[name])]
    assert {name.split(".", 2)[2] for name in changed} == {"attn.proj.weight", "mlp.fc2.weight"}


def test_a_run_begins_from_it_in_both_encoders(tmp_path: Path):
    data = write_picture_folder(tmp_path / "data", per_label=6)
    train(replace(RECIPE, lr=1e-12), data, tmp_path / "run", device=torch.device("cpu"), quiet=True)
    model, _ = load_model(tmp_path / "run")
    random = build_model(RECIPE)
    for encoder in (model.base, model.momentum):
        first = encoder.backbone.patch_embed.layers[0].weight
        half = len(first) // 2
        torch.testing.assert_close(first[:half], -first[half:])
        assert not torch.allclose(first, random.base.backbone.patch_embed.layers[0].weight)
        torch.testing.assert_close(
            encoder.backbone.blocks[0].mlp.fc2.weight, random.base.backbone.blocks[0].mlp.fc2.weight
        )


@pytest.mark.parametrize("change", [{"stem": "patch"}, {"init": "weights.pth"}, {"stem_init": "kmeans"}])
def test_it_needs_a_convolutional_stem_and_no_other_weights(change):
    with pytest.raises(ConfigError, match="recipe field stem_init"):
        replace(RECIPE, **change)
