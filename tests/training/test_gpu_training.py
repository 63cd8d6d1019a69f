"""The training step on a CUDA device. Run by `make gpu-check`."""

import pytest
import torch
from pictures import write_picture_folder

from training.checkpoint import build_model
from training.recipe import Recipe
from training.trainer import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def losses(device, precision, local):
    recipe = Recipe(
        encoder="nano", image_size=64, patch_size=8, hidden_dim=64, projection_dim=32, local=local, precision=precision
    )
    model = build_model(recipe).to(device).train()
    generator = torch.Generator().manual_seed(3)
    views = [torch.randn(16, 3, 64, 64, generator=generator).to(device) for _ in range(2)]
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        result = model(*views, 0.99, torch.Generator(device).manual_seed(0))
    result.total.backward()
    return result.global_branch.item(), result.local_branch.item()


@pytest.mark.parametrize("local", ["zero", "drop", "none"])
def test_the_gpu_computes_what_the_cpu_computes(local):
    assert losses("cuda", "fp32", local) == pytest.approx(losses("cpu", "fp32", local), rel=1e-3)


@pytest.mark.parametrize("local", ["zero", "drop", "random", "none"])
def test_mixed_precision_is_close(local):
    assert losses("cuda", "bf16", local)[0] == pytest.approx(losses("cuda", "fp32", local)[0], rel=2e-2)


def test_a_run_trains_and_resumes_on_the_gpu(tmp_path):
    photos = write_picture_folder(tmp_path / "photos")
    recipe = Recipe(
        encoder="nano", image_size=64, patch_size=8, hidden_dim=64, projection_dim=32, batch_size=4, epochs=2,
        precision="bf16",
    )  # fmt: skip
    for last in (2, 6):
        result = train(recipe, photos, tmp_path / "run", device=torch.device("cuda"), max_steps=last, quiet=True)
        assert result.step == last
    assert (tmp_path / "run" / "report.html").is_file()
