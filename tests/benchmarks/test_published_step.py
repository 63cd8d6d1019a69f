"""The published step as the benchmark has it: it does the work that the published code was measured to do."""

import pytest
import torch
from reference.plain_moco_v3 import PlainMoCoV3Step
from reference.published_step import PublishedStep
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from training.model import LoDisc
from training.pivotal import fuse_attention, pivotal_mask, zero_masked
from training.vit import build_vit

# GFLOP an image pair for ViT-S/16 at 224: of the published code without and with its logging forwards.
PUBLISHED, WITH_LOGGING = 110.2, 147.0


def gflop_a_picture(make_step):
    step = make_step(build_vit("small", image_size=224, patch_size=16))
    views = torch.randn(2, 2, 3, 224, 224)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        step(*views)
    return counter.get_total_flops() / 2 / 1e9


def ours(local):
    def make_step(vit):
        model = LoDisc(vit, local=local, keep_ratio=0.3, temperature=0.2, hidden_dim=4096, projection_dim=256)
        return lambda view1, view2: model(view1, view2, 0.99, torch.Generator()).total.backward()

    return make_step


def test_its_work_is_what_was_published():
    without = gflop_a_picture(lambda vit: PublishedStep(vit, with_logging=False))
    assert without == pytest.approx(PUBLISHED, rel=0.02)
    assert gflop_a_picture(PublishedStep) == pytest.approx(WITH_LOGGING, rel=0.02)


def test_ours_does_the_same_for_less():
    zero, drop, moco_v3 = (gflop_a_picture(ours(local)) for local in ("zero", "drop", "none"))
    assert drop < zero < PUBLISHED / 1.25
    # 10 forwards' worth of work against 8: three for each view of the base encoder, one for its key, one local.
    assert zero / moco_v3 == pytest.approx(10 / 8, rel=0.02)
    assert moco_v3 < gflop_a_picture(PlainMoCoV3Step)


def test_its_masks_and_losses_are_ours():
    """One view through both: the same pivotal patches, the same keys, so the same waste-free mathematics."""
    torch.manual_seed(0)
    vit = build_vit("nano", image_size=64, patch_size=16)
    step = PublishedStep(vit, hidden_dim=32)
    view = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        features = step.encoder_m.vit(view, with_attention=True)
        ours = zero_masked(view, pivotal_mask(fuse_attention(features.cls_attention_LBP), 0.3))
        assert torch.equal(view * step.mask(view), ours)
        torch.testing.assert_close(step.encoder_m(view)[0], features.cls_BD, rtol=1e-4, atol=1e-5)
