"""Training with labels: both branches, real runs on drawn pictures, and that it is always said."""

import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch
from pictures import LABELS, drawn, file_bytes, write_picture_folder
from safetensors.torch import load_file

from encoder.errors import ConfigError
from encoder.manifest import load_manifest
from export.model_card import model_card
from export.our_network import run_network
from lodisc.cli import main
from training.checkpoint import CHECKPOINT_NAME, read_state
from training.distributed import World
from training.estimate import estimate_run
from training.loading import Batch
from training.losses import info_nce, supervised_contrast
from training.model import LOCAL_BRANCHES, LoDisc
from training.recipe import Recipe
from training.schedule import StepSettings
from training.selection import select_pictures
from training.step import TrainingStep
from training.supervision import labels_sentence
from training.trainer import train
from training.vit import VisionTransformer

CPU = torch.device("cpu")
TINY = {
    "encoder": "nano", "image_size": 32, "patch_size": 16, "hidden_dim": 32, "projection_dim": 16,
    "epochs": 3, "batch_size": 6, "lr": 1e-3,
}  # fmt: skip
SUPERVISED = TINY | {"supervision": "labels"}


@pytest.fixture
def photos(tmp_path):
    return write_picture_folder(tmp_path / "photos", per_label=4)


@pytest.fixture
def nested(tmp_path):
    """warm/red, warm/green, cold/blue, one picture in warm/ itself and one in no folder."""
    for label, make in (("red", "warm"), ("green", "warm"), ("blue", "cold")):
        folder = tmp_path / "nested" / make / label
        folder.mkdir(parents=True)
        for seed in range(4):
            (folder / f"{seed}.png").write_bytes(file_bytes(drawn(LABELS[label], seed)))
    for number, path in enumerate(("warm/one.png", "two.png")):
        (tmp_path / "nested" / path).write_bytes(file_bytes(drawn((120, 120, 0), number)))
    return tmp_path / "nested"


def flat_folder(folder, table, make_of=None):
    """The same pictures with names that say nothing, and their labels in a table."""
    folder.mkdir()
    rows = ["path,colour" if make_of is None else "path,colour,make"]
    for number, (label, colour) in enumerate(one for one in LABELS.items() for _ in range(4)):
        (folder / f"{number:02d}.png").write_bytes(file_bytes(drawn(colour, number % 4)))
        rows.append(f"{number:02d}.png,{label}" if make_of is None else f"{number:02d}.png,{label},{make_of[label]}")
    table.write_text("\n".join(rows) + "\n")
    return folder, table


def tensors(run):
    return load_file(run / CHECKPOINT_NAME)


def differing(one, other):
    one, other = tensors(one), tensors(other)
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


# The model


def make_model(local, **options):
    torch.manual_seed(0)
    backbone = VisionTransformer(image_size=24, patch_size=4, width=16, depth=2, num_heads=2)
    return LoDisc(backbone, local=local, keep_ratio=0.3, temperature=0.2, hidden_dim=32, projection_dim=8, **options)


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(5)
    return torch.randn(6, 3, 24, 24, generator=generator), torch.randn(6, 3, 24, 24, generator=generator)


@pytest.mark.parametrize("local", LOCAL_BRANCHES)
@pytest.mark.parametrize("options", [{}, {"momentum_updates": 4, "micro_batch": 4}], ids=["plain", "sliced"])
def test_labels_act_in_both_branches_and_alone_where_two_share_one(local, options, views):
    """All different: the same bits as without labels. Shared: another loss in each branch that there is."""
    losses = [
        make_model(local, **options)(*views, 0.9, torch.Generator().manual_seed(0), labels)
        for labels in (None, torch.arange(6)[:, None], torch.tensor([[0], [0], [1], [1], [2], [2]]))
    ]
    without, different, shared = losses
    assert torch.equal(without.global_branch, different.global_branch)
    assert torch.equal(without.local_branch, different.local_branch)
    assert not torch.equal(without.global_branch, shared.global_branch)
    assert torch.equal(without.local_branch, shared.local_branch) == (local == "none")


def test_which_keys_meet_which_queries(views, monkeypatch):
    """Global: q against the keys of the other view. Local: q against those of the other view masked. Ranks weighted."""
    labels = torch.tensor([[0, 0], [0, 0], [1, 0], [1, 0], [2, 1], [-1, 1]])
    calls = []

    def noting(query, key, *rest):
        calls.append((query.detach().clone(), key.clone()))
        return supervised_contrast(query, key, *rest)

    monkeypatch.setattr("training.model.supervised_contrast", noting)
    losses = make_model("zero", rank_weights=(1.0, 0.5))(*views, 0.9, torch.Generator(), labels)
    (q1, k2), (q2, k1), (q1_again, km2), (q2_again, km1) = calls
    assert torch.equal(q1, q1_again)
    assert torch.equal(q2, q2_again)
    plain = make_model("zero")
    one = plain(*views, 0.9, torch.Generator())
    assert torch.equal(one.global_branch, info_nce(q1, k2, 0.2) + info_nce(q2, k1, 0.2))
    assert torch.equal(one.local_branch, info_nce(q1, km2, 0.2) + info_nce(q2, km1, 0.2))

    def by_rank(query, key):
        fine, coarse = (supervised_contrast(query, key, labels[:, [r]], labels[:, [r]], (1.0,), 0.2) for r in range(2))
        return (fine + 0.5 * coarse) / 1.5

    torch.testing.assert_close(losses.global_branch, by_rank(q1, k2) + by_rank(q2, k1))
    torch.testing.assert_close(losses.local_branch, by_rank(q1, km2) + by_rank(q2, km1))


def test_gradient_reaches_the_queries_alone(views):
    model = make_model("drop")
    model(*views, 0.9, torch.Generator(), torch.tensor([[0], [0], [1], [1], [2], [-1]])).total.backward()
    assert all(p.grad is None for p in model.momentum.parameters())
    assert all(p.grad is not None for p in [*model.predictor.parameters(), *model.base.parameters()])


def test_a_batch_in_slices_has_the_gradients_of_the_whole(views):
    labels = torch.tensor([[0], [0], [1], [1], [2], [-1]])
    gradients = []
    for micro_batch in (0, 5):
        model = make_model("drop", micro_batch=micro_batch)
        model(*views, 0.9, torch.Generator(), labels).total.backward()
        gradients.append([p.grad for p in model.base.parameters()])
    typical = torch.stack([gradient.norm() for gradient in gradients[0]]).median()
    for one, other in zip(*gradients, strict=True):
        assert (one - other).norm() <= 2e-5 * max(one.norm(), typical)


# What is read


def test_without_supervision_no_name_of_a_folder_is_read(photos, tmp_path, monkeypatch):
    def read(*arguments):
        raise AssertionError("a label was read")

    for name in ("training.layouts.folder_label", "training.selection.folder_ranks"):
        monkeypatch.setattr(name, read)
    assert train(Recipe(**TINY), photos, tmp_path / "run", device=CPU, max_steps=2, quiet=True).step == 2
    with pytest.raises(AssertionError, match="a label was read"):
        train(Recipe(**SUPERVISED), photos, tmp_path / "other", device=CPU, max_steps=2, quiet=True)


def test_held_out_pictures_are_not_trained_on_and_keep_their_labels(nested):
    recipe = Recipe(**SUPERVISED | {"holdout": 0.4, "rank_weights": (1.0, 0.5), "seed": 2})
    selection = select_pictures(recipe, nested)
    trained = [path.relative_to(nested).as_posix() for path in selection.division.trained.paths]
    held_out = [path.relative_to(nested).as_posix() for path in selection.division.held_out.paths]
    assert set(trained) & set(held_out) == set()
    assert len(trained) + len(held_out) == 14
    assert len(selection.training_labels(recipe, trained).number_NR) == len(trained)


def test_a_table_measures_held_out_pictures_without_supervision(tmp_path):
    photos, table = flat_folder(tmp_path / "flat", tmp_path / "labels.csv")
    recipe = Recipe(**TINY | {"holdout": 0.4, "seed": 1})
    division = select_pictures(recipe, photos, table).division
    assert set(division.held_out.labels) <= set(LABELS)
    assert len(division.held_out.paths) > 1


# Runs


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"local": "drop", "rank_weights": (1.0, 0.5), "pictures_per_label": 2},
        {"local": "random", "micro_batch": 4, "pictures_per_label": 3},
        {"local": "none", "momentum_updates": 4, "projector": "none", "precision": "bf16"},
        {"holdout": 0.4, "batch_size": 4, "pictures_per_label": 2, "seed": 2},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(nested, tmp_path, changes):
    recipe = Recipe(**SUPERVISED | changes)
    whole = train(recipe, nested, tmp_path / "whole", device=CPU, quiet=True)
    for stop in (1, 3, 4, whole.num_steps):
        part = train(recipe, nested, tmp_path / "parts", device=CPU, max_steps=stop, quiet=True)
    assert part.step == whole.step == whole.num_steps > 4
    assert differing(tmp_path / "whole", tmp_path / "parts") == []


def test_a_table_is_as_good_as_folders(tmp_path, photos):
    """The same pictures in the same order under the same labels, flat and in folders: the same weights."""
    make_of = {"red": "warm", "green": "warm", "blue": "cold"}
    flat, table = flat_folder(tmp_path / "flat", tmp_path / "labels.csv", make_of)
    recipe = Recipe(**SUPERVISED | {"rank_weights": (1.0, 0.5), "pictures_per_label": 2})
    train(recipe, flat, tmp_path / "one", device=CPU, label_table=table, quiet=True)
    nested = tmp_path / "same"  # sub-folders that sort as the flat names do
    for number, (label, make) in enumerate(make_of.items()):
        folder = nested / {"warm": "a", "cold": "b"}[make] / f"{number}"
        folder.mkdir(parents=True)
        for path in (photos / label).iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
    train(recipe, nested, tmp_path / "other", device=CPU, quiet=True)
    assert differing(tmp_path / "one", tmp_path / "other") == []


def test_other_labels_are_another_run(tmp_path):
    photos, table = flat_folder(tmp_path / "flat", tmp_path / "labels.csv")
    recipe = Recipe(**SUPERVISED)
    train(recipe, photos, tmp_path / "run", device=CPU, label_table=table, max_steps=1, quiet=True)
    table.write_text(table.read_text().replace("00.png,red", "00.png,blue"))
    with pytest.raises(ConfigError, match="started with other labels of the same pictures"):
        train(recipe, photos, tmp_path / "run", device=CPU, label_table=table, quiet=True)


def test_other_labels_of_held_out_pictures_are_another_run(tmp_path):
    """The best checkpoint was chosen by the ones, and would be compared by the others."""
    photos, table = flat_folder(tmp_path / "flat", tmp_path / "labels.csv")
    recipe = Recipe(**TINY | {"holdout": 0.4, "batch_size": 3, "seed": 1})
    train(recipe, photos, tmp_path / "run", device=CPU, label_table=table, max_steps=1, quiet=True)
    assert train(recipe, photos, tmp_path / "run", device=CPU, label_table=table, max_steps=2, quiet=True).step == 2
    table.write_text(table.read_text().replace(",red", ",scarlet"))
    with pytest.raises(ConfigError, match="started with other held-out pictures, or other labels of them"):
        train(recipe, photos, tmp_path / "run", device=CPU, label_table=table, quiet=True)


def small_drawn(seeds):
    pictures = [drawn(colour, seed).resize((24, 24)) for colour in LABELS.values() for seed in seeds]
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))


LABEL_BR = torch.tensor([0] * 16 + [1] * 8)[:, None]  # red and green are one label, blue another


def loss_after(label_BR, seed, num_steps=60):
    """The supervised loss of other pictures after training on `label_BR`, or on none."""
    recipe = Recipe(
        encoder="nano", image_size=24, patch_size=8, local="drop", supervision="labels",
        crop_min=0.5, jitter_prob=0.0, greyscale_prob=0.0, solarise_prob=(0.0, 0.0), blur_prob=(0.0, 0.0),
    )  # fmt: skip
    torch.manual_seed(seed)
    backbone = VisionTransformer(image_size=24, patch_size=8, width=32, depth=2, num_heads=2)
    model = LoDisc(backbone, local="drop", keep_ratio=0.3, temperature=0.2, hidden_dim=64, projection_dim=16).train()
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad])
    step = TrainingStep(model, optimizer, recipe, CPU, World())
    seen = Batch(small_drawn(range(8)), torch.full((24,), 64 / 48), 0.0, label_BR)
    settings = StepSettings(lr=3e-3, momentum=0.9, image_size=24, keep_ratio=0.3)
    for position in range(num_steps):
        step(seen, 0, position, settings, stop=False)
    other = Batch(small_drawn(range(50, 58)), torch.full((24,), 64 / 48), 0.0, LABEL_BR)
    totals = step(other, 1, 0, replace(settings, lr=0.0, momentum=1.0), stop=False)
    return totals.global_loss, totals.local_loss


def test_labels_lower_the_supervised_loss_of_pictures_not_trained_on():
    """In both branches, for each of three seeds: no view of a picture tells that red and green are one label."""
    for seed in range(3):
        without, with_labels = loss_after(None, seed), loss_after(LABEL_BR, seed)
        assert with_labels[0] < without[0]
        assert with_labels[1] < without[1]


# What is said


def card(run, bundle, **options):
    """The page of a bundle of `run`; all but what training says of itself is another bundle's."""
    network = run_network(run, **options)
    return model_card(replace(load_manifest(bundle), trained_on=network.trained_on), labels=network.labels)


def test_recipe_log_report_checkpoint_and_card_say_that_labels_were_read(nested, tmp_path, caplog, tiny_bundle):
    recipe = Recipe(**SUPERVISED | {"rank_weights": (1.0, 0.5)})
    train(recipe, nested, tmp_path / "run", device=CPU, quiet=True)
    run = tmp_path / "run"
    line = (
        "training reads labels: 3 at folder depth 2 (weight 1, 2 of 14 pictures without), "
        "2 at folder depth 1 (weight 0.5, 1 of 14 pictures without)"
    )
    assert [record.getMessage() for record in caplog.records].count(line) == 1
    saved = tomllib.loads((run / "recipe.toml").read_text())
    assert (saved["supervision"], saved["rank_weights"]) == ("labels", [1.0, 0.5])
    log = [json.loads(text) for text in (run / "log.jsonl").read_text().splitlines()]
    assert {one["supervision"] for one in log} == {"labels"}
    report = (run / "report.html").read_text()
    assert "trained with labels (rank weights 1, 0.5)" in report
    assert line in report
    assert read_state(run).labels != ""
    page = card(run, tiny_bundle)
    assert "| labels | trained with labels (rank weights 1, 0.5) |" in page
    assert "| trained on | 14 pictures of nested and their labels, 3 epochs" in page


def test_without_labels_it_is_said_that_none_was_read(photos, tmp_path, caplog, tiny_bundle):
    train(Recipe(**TINY), photos, tmp_path / "run", device=CPU, quiet=True)
    assert caplog.records == []
    assert json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])["supervision"] == "none"
    assert "no label was read" in (tmp_path / "run" / "report.html").read_text()
    assert read_state(tmp_path / "run").labels == ""
    assert "| labels | no label was read |" in card(tmp_path / "run", tiny_bundle)
    assert "| labels |" not in card(tmp_path / "run", tiny_bundle, untrained=True)
    assert "| labels |" not in model_card(load_manifest(tiny_bundle))  # no run of ours: not known


def test_the_sentence():
    assert labels_sentence({}) == "no label was read"  # a recipe from before there was supervision
    assert labels_sentence({"supervision": "none", "holdout": 0.1}).startswith(
        "the loss read no label; those of the held"
    )
    assert labels_sentence({"supervision": "none", "init": "a/vit.pth"}).startswith(
        "no label was read; whether its initial"
    )


def test_the_sentence_knows_the_stages_before():
    """Of three stages, the first says what the weights began from, and any may have read labels."""
    plain, init = {"supervision": "none", "init": ""}, {"supervision": "none", "init": "one/run"}
    assert (
        labels_sentence(init, [{"recipe": plain}, {"recipe": init}]) == "no label was read; no earlier stage read any"
    )
    supervised = {**init, "supervision": "labels", "rank_weights": [1.0]}
    assert labels_sentence(init, [{"recipe": plain}, {"recipe": supervised}]) == (
        "no label was read; an earlier stage read labels"
    )
    assert labels_sentence(init, [{"recipe": {**plain, "init": "a/vit.pth"}}, {"recipe": init}]) == (
        "no label was read; no earlier stage read any; "
        "whether its initial weights (vit.pth) saw any is not in its recipe"
    )
    assert labels_sentence(supervised, [{"recipe": plain}]) == (
        "trained with labels (rank weights 1); no earlier stage read any"
    )


def test_the_estimate_says_it_too(nested):
    recipe = Recipe(**SUPERVISED)
    assert any("3 at folder depth 2" in line for line in estimate_run(recipe, nested, CPU).lines())
    with pytest.raises(ConfigError, match="rank_weights has 3 weights"):
        estimate_run(Recipe(**SUPERVISED | {"rank_weights": (1.0, 0.5, 0.2)}), nested, CPU)


# The command line


FLAGS = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]


def test_the_command_with_a_table(tmp_path, capsys, caplog):
    photos, table = flat_folder(tmp_path / "flat", tmp_path / "labels.csv", dict.fromkeys(LABELS, "thing"))
    table.write_text(table.read_text().replace("blue,thing", "blue,other") + "gone.png,red,thing\nlost.png,red,thing\n")
    run = tmp_path / "run"
    command = [
        "train",
        "labels",
        "--data",
        str(photos),
        "--out",
        str(run),
        "--labels",
        str(table),
        *FLAGS,
        "--device=cpu",
    ]
    command += ["--pictures-per-label", "2", "--rank-weights", "1", "0.5", "--quiet", "--max-steps", "2"]
    assert main(command) == 0
    messages = [record.getMessage() for record in caplog.records]
    assert f"2 paths of {table} are no picture of the data (the first: gone.png)" in messages
    assert any(message.startswith("training reads labels: 3 at colour (weight 1, 0 of 12") for message in messages)
    assert read_state(run).recipe.rank_weights == (1.0, 0.5)
    assert main([*command, "--dry-run"]) == 0
    assert "labels      training reads labels: 3 at colour" in capsys.readouterr().out


def test_faults_are_one_clear_line(tmp_path, capsys):
    photos, table = flat_folder(tmp_path / "flat", tmp_path / "labels.csv")
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("picture,label\n00.png,red\n")
    elsewhere = tmp_path / "elsewhere.csv"
    elsewhere.write_text("path,label\nx/00.png,red\n")
    supervised = ["--supervision", "labels"]
    for more, message in (
        ([*supervised, "--labels", wrong], "has the columns picture, label; expected path"),
        ([*supervised, "--labels", elsewhere], "names 1 paths and none is one of the 12 pictures"),
        ([*supervised, "--labels", tmp_path / "none.csv"], "cannot be read"),
        ([*supervised, "--labels", table, "--rank-weights", 1, 0.5], "2 weights, but the ranks"),
        (["--labels", table], "no label would be read; add --supervision labels"),
        (supervised, "are none; give no more weights than ranks, sort the pictures into sub-folders"),
        (["--pictures-per-label", 2], "pictures_per_label is 2, expected 1, unless supervision is labels"),
    ):
        arguments = ["train", "--data", photos, "--out", tmp_path / "run", *FLAGS, "--device=cpu", *more]
        assert main([str(argument) for argument in arguments]) == 2, more
        err = capsys.readouterr().err
        assert (err.count("\n"), err.startswith("lodisc: error: ")) == (1, True)
        assert message in err


def test_a_published_set_gives_one_rank(tmp_path):
    for label in ("accordion", "anchor"):
        folder = tmp_path / "101_ObjectCategories" / label
        folder.mkdir(parents=True)
        for seed in range(3):
            (folder / f"{seed}.png").write_bytes(file_bytes(drawn((90, 90, 200), seed)))
    recipe = Recipe(**SUPERVISED | {"layout": "caltech101"})
    selection = select_pictures(recipe, tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in selection.division.trained.paths]
    assert selection.training_labels(recipe, names).number_NR.T.tolist() == [[0, 0, 0, 1, 1, 1]]
    with pytest.raises(ConfigError, match="2 weights"):
        selection.training_labels(Recipe(**SUPERVISED | {"rank_weights": (1.0, 0.5)}), names)
