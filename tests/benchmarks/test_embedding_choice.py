"""Features and whitening of the benchmark against those of the encoder that would be exported."""

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import embedding_choice
import numpy as np
import pytest
import torch
from pictures import write_picture_folder

from training.augmentation import normalise
from training.checkpoint import build_model
from training.embedding import EmbeddingModel
from training.recipe import Recipe

RECIPE = Recipe(encoder="nano", image_size=32, patch_size=16, hidden_dim=32, projection_dim=16, whitening=0.75)


@pytest.mark.parametrize("feature", embedding_choice.FEATURES)
def test_it_is_the_embedding_of_a_run_with_that_feature(feature):
    torch.manual_seed(1)
    network = build_model(replace(RECIPE, feature=feature))
    pixels = np.random.default_rng(0).integers(0, 256, (300, 32, 32, 3), dtype=np.uint8)
    views = normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)
    with torch.inference_mode():
        raw = EmbeddingModel(network.base.backbone.eval(), feature).joined(network.base.backbone(views))
        network.whitening.learn(raw)
        expected = EmbeddingModel.from_lodisc(network, feature).embedding(network.base.backbone(views))

    split = SimpleNamespace(pixels=lambda preprocessing: pixels)
    parts = embedding_choice.parts_of(EmbeddingModel(network.base.backbone, embedding_choice.PARTS).eval(), split, 32)
    joined = embedding_choice.join(parts, feature)
    whitened = embedding_choice.learnt_whitening(joined, feature, 0.75)(joined)
    assert (whitened * expected).sum(dim=1).numpy() == pytest.approx(np.ones(300), abs=1e-4)


def test_a_reader_of_the_old_result_sees_it_whole(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    path.write_text('{"entries": []}')
    for split in ("train", "test"):
        write_picture_folder(tmp_path / "data" / "fields" / split, per_label=2)
    monkeypatch.setattr(
        embedding_choice, "load_model", lambda _: (build_model(RECIPE), SimpleNamespace(recipe=RECIPE, step=3))
    )
    command = ["embedding_choice.py", str(tmp_path / "data"), "run", "--sets", "fields", "--out", str(path)]
    monkeypatch.setattr(sys, "argv", command)
    with path.open(encoding="utf-8") as reader:
        embedding_choice.main()
        assert json.load(reader) == {"entries": []}
    assert len(json.loads(path.read_text())["entries"]) == len(embedding_choice.FEATURES) * len(embedding_choice.POWERS)
