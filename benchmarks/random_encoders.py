"""Encoders for measuring speed, which weights do not change: a ViT as export/ writes it, and one that costs nothing."""

import sys
from pathlib import Path

import torch

from encoder.manifest import OUTPUTS
from export.bundling import ExportOptions, export_network
from export.network import Network
from export.serving_graph import ServingGraph
from training.embedding import EmbeddingModel, serving_preprocessing
from training.vit import build_vit

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from tiny_encoder import write_tiny_bundle

IMAGE_SIZE, PATCH_SIZE = 224, 16


def network_of(encoder):
    """A ViT of that size with random weights."""
    torch.manual_seed(0)
    backbone = build_vit(encoder, image_size=IMAGE_SIZE, patch_size=PATCH_SIZE)
    model = EmbeddingModel(backbone, "cls").eval()
    return Network(
        reference=model,
        make_graph=lambda outputs, fused, pruning: ServingGraph(
            model, outputs, fused_attention=fused, pruning=pruning
        ).eval(),
        outputs=OUTPUTS, preprocessing=serving_preprocessing(IMAGE_SIZE), embedding_dim=backbone.width,
        token_dim=backbone.width, patch_grid=(backbone.grid_size,) * 2, depth=len(backbone.blocks), source="random",
        feature="cls", licence="", trained_on="", domain="",
    )  # fmt: skip


def vit_bundle(path, encoder="small"):
    """Its bundle, fp32."""
    export_network(network_of(encoder), path, ExportOptions(name=path.name))
    return path


def tiny_bundle(path):
    """Mean colours of patches, projected: an encoder that costs next to nothing."""
    return write_tiny_bundle(path)
