"""What `lodisc evaluate` measures and prints, on drawn pictures and by hand."""

import json

import numpy as np
import pytest
import torch
from pictures import drawn, write_picture_folder

from encoder.errors import ConfigError, SourceError
from encoder.retrieval_by_label import most_confused, per_class
from encoder.retrieval_metrics import rank_queries
from lodisc.cli import main
from training.bundle_embedder import BundleEmbedder
from training.embedders import LabelledPictures, labelled_pictures, run_embedders
from training.evaluation import evaluate
from training.recipe import Recipe
from training.trainer import train

CPU = torch.device("cpu")
RECIPE = Recipe(
    encoder="nano", image_size=32, patch_size=8, hidden_dim=32, projection_dim=16, epochs=1, batch_size=6, lr=1e-3
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_picture_folder(tmp_path_factory.mktemp("evaluation") / "photos", per_label=4)


@pytest.fixture(scope="module")
def run(photos):
    train(RECIPE, photos, photos.parent / "run", device=CPU, quiet=True)
    return photos.parent / "run"


def test_by_label_and_by_pair_by_hand():
    """On a circle: a at 0 and 10 degrees, b at 12 and 90, c at 91 and 180."""
    angles = np.deg2rad([0, 10, 12, 90, 91, 180])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    results = rank_queries(embeddings, ["a", "a", "b", "b", "c", "c"])
    assert results.nearest_labels == ["a", "b", "a", "c", "b", "c"]
    assert results.first_hit_A.tolist() == [0, 1, 2, 1, 3, 0]
    by_label = {row.label: row for row in per_class(results)}
    assert [row.label for row in per_class(results)] == ["b", "c", "a"]  # mAP 5/12, 5/8, 3/4
    assert (by_label["a"].num_queries, by_label["a"].rank_1, by_label["a"].rank_5) == (2, 0.5, 1.0)
    assert by_label["a"].mean_average_precision == pytest.approx((1 + 1 / 2) / 2)
    assert by_label["b"].mean_average_precision == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert by_label["c"].mean_average_precision == pytest.approx((1 / 4 + 1) / 2)
    assert most_confused(results, 10) == [("a", "b", 2, 4), ("b", "c", 2, 4)]
    assert most_confused(results, 1) == [("a", "b", 2, 4)]


def test_baselines_stand_beside_and_what_is_left_out_is_counted(run, photos, tmp_path):
    folder = write_picture_folder(tmp_path / "set")
    (folder / "loose.png").write_bytes((folder / "red" / "0.png").read_bytes())
    (folder / "red" / "broken.png").write_bytes(b"no")
    (folder / "lonely").mkdir()
    (folder / "lonely" / "one.png").write_bytes((folder / "red" / "0.png").read_bytes())
    pictures = labelled_pictures(folder)
    assert len(pictures.paths) == 13
    assert {path.name for path, _ in pictures.rejected} == {"loose.png", "broken.png"}
    found = evaluate(run, pictures, device=CPU)
    assert list(found) == ["encoder", "untrained", "colour histogram"]
    scores = found["encoder"].results.scores()
    assert (scores.num_queries, scores.num_without_positive) == (12, 1)
    assert found["colour histogram"].figures["rank_5"].value == 1.0  # the labels are colours
    for measured in found.values():
        for figure in measured.figures.values():
            assert 0 <= figure.low <= figure.value <= figure.high <= 1


def test_against_a_gallery_each_query_finds_itself_there(run, photos, tmp_path):
    twice = write_picture_folder(tmp_path / "set")
    (twice / "aa_other").mkdir()
    (twice / "aa_other" / "one.png").write_bytes((twice / "red" / "0.png").read_bytes())
    found = evaluate(run, labelled_pictures(photos), labelled_pictures(twice), device=CPU, baselines=False)
    # One of the pictures is also there under another label, and that one comes first.
    assert found["encoder"].figures["rank_1"].value == pytest.approx(11 / 12)
    assert found["encoder"].figures["rank_5"].value == 1.0


def test_a_query_that_is_in_the_gallery_or_learnt_from_is_refused(run, photos, tmp_path):
    """It would find itself. By another way to the same file too; a copy of a file is another picture."""
    pictures = labelled_pictures(photos)
    (tmp_path / "elsewhere").symlink_to(photos)
    for others in (labelled_pictures(photos), labelled_pictures(tmp_path / "elsewhere")):
        for part, where in ({"gallery": others}, "gallery"), ({"train": others}, "pictures to learn from"):
            with pytest.raises(ConfigError, match=f"0.png is among the queries and the {where} .*12 of 12.*--gallery"):
                evaluate(run, pictures, device=CPU, **part)
    one = LabelledPictures(pictures.paths[5:6], pictures.labels[5:6], [])
    with pytest.raises(ConfigError, match=f"{pictures.paths[5]} is among .*1 of 12"):
        evaluate(run, pictures, one, device=CPU)


def test_features_are_a_choice_for_runs_alone(run, photos):
    pictures = labelled_pictures(photos)
    dims = {"cls": 192, "mean": 192, "projector": 16, "predictor": 16, "cls+mean+predictor": 400}
    embeddings = {name: run_embedders(run, CPU, name, baselines=False)["encoder"](pictures) for name in dims}
    assert {name: found.shape[1] for name, found in embeddings.items()} == dims
    parts = [embeddings[name] for name in ("cls", "mean", "predictor")]
    np.testing.assert_allclose(embeddings["cls+mean+predictor"], np.concatenate(parts, axis=1) / 3**0.5, atol=1e-6)
    with pytest.raises(ConfigError, match="feature"):
        run_embedders(run, CPU, "nose", baselines=False)


def test_all_protocols_with_a_gallery_to_learn_from(run, photos, tmp_path):
    other = tmp_path / "train"
    for label, colour in {"red": (200, 50, 40), "green": (50, 180, 60), "blue": (40, 70, 210)}.items():
        (other / label).mkdir(parents=True)
        for seed in range(10, 16):
            drawn(colour, seed).save(other / label / f"{seed}.png")
    found = evaluate(
        run,
        labelled_pictures(photos),
        labelled_pictures(other),
        device=CPU,
        protocols=("retrieval", "knn", "linear"),
    )
    histogram = found["colour histogram"].figures
    names = ["rank_1", "rank_5", "mAP", "knn_top_1", "knn_top_5", "linear_top_1", "linear_top_5"]
    assert list(histogram) == names
    assert {name: histogram[name].value for name in names if name != "mAP"} == dict.fromkeys(names[:2] + names[3:], 1.0)
    alone = evaluate(run, labelled_pictures(photos), device=CPU, protocols=("knn",), baselines=False)
    assert list(alone["encoder"].figures) == ["knn_top_1", "knn_top_5"]
    assert alone["encoder"].results is None


def test_what_cannot_be_measured_is_said(run, tiny_bundle, photos, tmp_path):
    pictures = labelled_pictures(photos)
    with pytest.raises(ConfigError, match="--gallery"):
        evaluate(run, pictures, device=CPU, protocols=("linear",))
    with pytest.raises(ConfigError, match="its feature is fixed"):
        evaluate(tiny_bundle, pictures, device=CPU, feature="mean")
    for label in ("one", "two"):
        (tmp_path / "singles" / label).mkdir(parents=True)
        drawn((9, 9, 99), 1).save(tmp_path / "singles" / label / "0.png")
    with pytest.raises(SourceError, match="none of the 2 queries"):
        evaluate(run, labelled_pictures(tmp_path / "singles"), device=CPU)
    with pytest.raises(SourceError, match="all 4 pictures are labelled 'red'"):
        evaluate(run, LabelledPictures(pictures.paths[:4], ["red"] * 4, []), device=CPU)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"empty"):
        labelled_pictures(tmp_path / "empty")


def test_a_bundle_is_measured_as_it_serves(tiny_bundle, photos):
    pictures = labelled_pictures(photos)
    found = evaluate(tiny_bundle, pictures, device=CPU, baselines=False)
    expected = rank_queries(BundleEmbedder(tiny_bundle)(pictures), pictures.labels).scores()
    assert found["encoder"].results.scores() == expected


def test_names_with_brackets_are_printed_as_they_are(run, tmp_path, capsys):
    photos = write_picture_folder(tmp_path / "photos", per_label=4)
    (photos / "red").rename(photos / "Rosa [alba]")
    assert main(["evaluate", str(run), "--data", str(photos), "--per-class", "--no-baselines"]) == 0
    assert "Rosa [alba]" in capsys.readouterr().out


def test_the_command_prints_tables_and_json(run, photos, tmp_path, capsys):
    assert main(["evaluate", str(run), "--data", str(photos), "--per-class", "--confusions", "3"]) == 0
    printed = capsys.readouterr().out
    for part in (
        "95 % interval",
        "untrained",
        "colour histogram",
        "12 queries",
        "hardest first",
        "most often confused",
    ):
        assert part in printed
    copy = write_picture_folder(tmp_path / "copy", per_label=4)  # a query finds its copy
    command = ["evaluate", str(run), "--data", str(photos), "--gallery", str(copy), "--protocol", "all", "--json"]
    assert main([*command, "--per-class", "--confusions", "3", "--no-baselines"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["rank_1"], answer["num_queries"], answer["left_out"]) == (1.0, 12, [])
    assert list(answer["methods"]) == ["encoder"]
    assert answer["methods"]["encoder"]["linear_top_1"].keys() == {"value", "low", "high"}
    assert [row["rank_1"] for row in answer["per_class"]] == [1.0, 1.0, 1.0]
    assert answer["confusions"] == []


def test_all_without_pictures_to_learn_from_says_what_is_left_out(run, photos, capsys, caplog):
    assert main(["evaluate", str(run), "--data", str(photos), "--protocol", "all", "--no-baselines"]) == 0
    printed = capsys.readouterr().out
    assert "kNN top-1" in printed
    assert "linear" not in printed
    assert "linear probing is left out: it needs pictures to learn from; name them with --gallery" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--protocol", "knn", "--per-class"], "are of retrieval"),
        (["--layout", "cub200", "--gallery", "."], "has its own training pictures"),
        (["--layout", "cub200"], "images.txt"),
        (["--layout", "cubs"], "cub200"),
        (["--protocol", "linear"], "--gallery"),
        (["--feature", "nose"], "nose"),
    ],
)
def test_a_wrong_argument_is_one_line_that_names_the_fix(run, photos, capsys, arguments, message):
    assert main(["evaluate", str(run), "--data", str(photos), *arguments]) != 0
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "Traceback" not in error
