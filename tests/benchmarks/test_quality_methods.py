"""The trained rows of the quality table: equal terms, and what a run leaves."""

from types import SimpleNamespace

import numpy as np
import pytest
import quality_methods
import torch
from pictures import write_picture_folder
from quality_measure import FIGURES, RETRIEVAL
from quality_methods import TRAINED, recipe_of, trained, untrained
from quality_pictures import PhotographSet

from training.checkpoint import build_model, load_model
from training.embedding import EmbeddingModel, serving_preprocessing
from training.recipe import recipe_values
from training.trainer import RunResult, train

CPU = torch.device("cpu")


@pytest.fixture
def each(tmp_path, monkeypatch):
    small = {"image_size": 32, "patch_size": 8, "batch_size": 8, "hidden_dim": 32, "precision": "fp32"}
    monkeypatch.setattr(quality_methods, "SIZE", {**quality_methods.SIZE, **small})
    for split, per_label in (("train", 8), ("test", 3)):
        write_picture_folder(tmp_path / "flowers17" / split, per_label=per_label)
    return PhotographSet.open(tmp_path / "flowers17", tmp_path / "cache", 1)


def test_compared_methods_differ_in_their_local_branch_alone():
    recipes = {method: recipe_of(method, 2, 640, 200, CPU) for method in TRAINED}
    assert {steps for _, steps in recipes.values()} == {3 * 3}  # 640 pictures are 10 batches, so 3 epochs of 3
    values = {method: recipe_values(recipe) for method, (recipe, _) in recipes.items()}
    assert {method: one.pop("local") for method, one in values.items()} == {
        "moco_v3": "none", "zero": "zero", "drop": "drop", "random_mask": "random", "labels": "drop",
    }  # fmt: skip
    labels = values.pop("labels")
    assert all(one == values["zero"] for one in values.values())
    assert {name for name in labels if labels[name] != values["drop"][name]} == {"supervision", "pictures_per_label"}


def test_all_methods_of_a_seed_begin_from_the_same_weights(each):
    models = [build_model(recipe_of(method, 1, 8, 24, CPU)[0]).state_dict() for method in TRAINED]
    for model in models[1:]:
        assert all(torch.equal(model[name], models[0][name]) for name in models[0])


def test_drop_gives_its_row_and_the_reranked_one(each, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    rows = list(trained(each, "drop", 0, 48, CPU, work, tmp_path / "cache" / "store"))
    assert [method for method, _, _ in rows] == ["drop", "drop_rerank"]
    assert [tuple(outcomes) for _, outcomes, _ in rows] == [FIGURES, RETRIEVAL]
    assert all(about["steps"] == 6 for _, _, about in rows)
    assert not list(work.iterdir())
    assert (tmp_path / "cache" / "store" / "pictures.npy").is_file()


def test_labels_train_as_many_steps(each, tmp_path):
    ((method, outcomes, about),) = trained(each, "labels", 0, 48, CPU, tmp_path, tmp_path / "store")
    assert (method, tuple(outcomes), about["steps"]) == ("labels", FIGURES, 6)


def test_untrained_is_what_training_begins_from(each, tmp_path, monkeypatch):
    pixels = each.test.pixels(serving_preprocessing(32))
    seen = []
    monkeypatch.setattr(quality_methods, "measure", lambda _, test_QD, train_ND: seen.append(test_QD) or {})
    list(untrained(each, 3, CPU, tmp_path / "store"))
    recipe, _ = recipe_of("zero", 3, 48, 24, CPU)
    model = EmbeddingModel.from_lodisc(build_model(recipe), recipe.feature)
    with torch.no_grad():
        expected = model(torch.from_numpy(np.array(pixels)))[0].numpy()
    np.testing.assert_allclose(seen[0], expected, atol=1e-6)


def test_the_learnt_stem_is_what_a_run_begins_from_bit_by_bit(each, tmp_path, monkeypatch):
    models = []
    embed_with = quality_methods._embed_with

    def keep(each, model, recipe, device, *, patches):
        assert {parameter.device for parameter in model.parameters()} == {CPU}
        models.append(model)
        return embed_with(each, model, recipe, device, patches=patches)

    monkeypatch.setattr(quality_methods, "_embed_with", keep)
    assert [method for method, _, _ in untrained(each, 3, CPU, tmp_path / "store")] == ["untrained", "learnt_stem"]
    recipe, _ = recipe_of("drop", 3, 48, len(each.train), CPU)
    train(recipe, each.train.folder, tmp_path / "run", device=CPU, max_steps=0, quiet=True)
    begun = load_model(tmp_path / "run")[0].state_dict()
    learnt = models[1].state_dict()
    assert begun.keys() == learnt.keys()
    assert all(torch.equal(learnt[name], begun[name]) for name in begun)


def test_the_two_untrained_rows_share_no_weights(each, tmp_path, monkeypatch):
    """The first is moved to the device and measured there; the stem is learnt where the pictures are."""
    models = []
    monkeypatch.setattr(quality_methods, "measure", lambda *_: {})

    def moved(each, model, recipe, device, *, patches):
        assert {parameter.device for parameter in model.parameters()} == {CPU}
        models.append(model.to("meta"))
        return (SimpleNamespace(embedding_ND=None),) * 2

    monkeypatch.setattr(quality_methods, "_embed_with", moved)
    list(untrained(each, 3, CPU, tmp_path / "store"))
    assert len({id(module) for model in models for module in model.modules()}) == sum(
        len(list(model.modules())) for model in models
    )


def test_a_run_that_was_stopped_is_no_result(each, tmp_path, monkeypatch):
    monkeypatch.setattr(quality_methods, "train", lambda *args, **options: RunResult(1, 6, True, -1.0))
    with pytest.raises(SystemExit, match="begins that run again"):
        list(trained(each, "zero", 0, 48, CPU, tmp_path, tmp_path / "store"))
