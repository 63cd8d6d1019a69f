"""Slices change nothing but time and memory."""

import pytest
import torch

from training import cls_forward
from training.cls_forward import encode_cls
from training.vit import build_vit


@pytest.fixture
def vit():
    torch.manual_seed(0)
    return build_vit("nano", image_size=32, patch_size=8).double()


@pytest.mark.parametrize("tokens", [17, 17 * 3, 17 * 100])
@pytest.mark.parametrize("micro_batch", [0, 2, 5])
def test_slices_give_the_whole_forward_and_gradient(vit, monkeypatch, tokens, micro_batch):
    monkeypatch.setattr(cls_forward, "CPU_TOKENS", tokens)
    views, weights = torch.randn(5, 3, 32, 32).double(), torch.randn(192).double()
    whole = vit(views, with_attention=True)
    (whole.cls_BD @ weights).square().sum().backward()
    expected = [parameter.grad.clone() for parameter in vit.parameters()]
    vit.zero_grad()
    features = encode_cls(vit, views, with_attention=True, micro_batch=micro_batch)
    torch.testing.assert_close(features.cls_BD, whole.cls_BD)
    torch.testing.assert_close(features.cls_attention_LBP, whole.cls_attention_LBP)
    (features.cls_BD @ weights).square().sum().backward()
    for parameter, gradient in zip(vit.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-11)


def test_kept_patches_are_sliced_with_their_pictures(vit, monkeypatch):
    monkeypatch.setattr(cls_forward, "CPU_TOKENS", 10)
    views = torch.randn(5, 3, 32, 32).double()
    kept = torch.stack([torch.randperm(16)[:4].sort().values for _ in range(5)])
    torch.testing.assert_close(encode_cls(vit, views, kept_BK=kept).cls_BD, vit(views, kept_BK=kept).cls_BD)


def test_micro_batches_hold_less_memory_for_the_backward(vit):
    def kept_bytes(micro_batch):
        storages = {}

        def note(tensor):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            encode_cls(vit, torch.randn(16, 3, 32, 32).double(), micro_batch=micro_batch)
        return sum(storages.values())

    assert kept_bytes(2) < kept_bytes(0) / 2
