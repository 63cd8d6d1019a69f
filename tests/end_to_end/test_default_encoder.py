"""`lodisc default-encoder` from drawn sets to a bundle: on a lean machine, interrupted, damaged, and asked wrongly."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lean_machine import allowed_modules
from pictures import drawn, file_bytes

from encoder.bundle import Bundle
from encoder.bundle_parts import join_bundle
from encoder.retrieval_metrics import leave_one_out, query_gallery
from lodisc.cli import main
from training.bundle_embedder import BundleEmbedder
from training.checkpoint import read_state
from training.embedders import histogram_embeddings, labelled_pictures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
LEAN = ROOT / "tests" / "support" / "lean_machine.py"
RECIPE = """
encoder = "nano"
image_size = 32
patch_size = 16
hidden_dim = 32
projection_dim = 16
local = "drop"
epochs = 30
batch_size = 8
lr = 1e-3
"""
SETS = {
    "fields": {"red": (200, 50, 40), "green": (50, 180, 60), "blue": (40, 70, 210)},
    "shelves": {"oats": (190, 160, 90), "rye": (180, 150, 100)},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two sets: noisy fields whose colours are of their label."""
    folder = tmp_path_factory.mktemp("default-encoder") / "data"
    for name, labels in SETS.items():
        for part, seeds in (("train", range(5)), ("test", range(50, 54))):
            for label, colour in labels.items():
                (folder / name / part / label).mkdir(parents=True)
                for seed in seeds:
                    (folder / name / part / label / f"{seed}.png").write_bytes(file_bytes(drawn(colour, seed)))
    (folder.parent / "tiny.toml").write_text(RECIPE)
    return folder


def lean(*words):
    """As on a machine that only trains, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(LEAN), "default-encoder", *map(str, words)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )


def lodisc(capsys, *words):
    capsys.readouterr()
    code = main(["default-encoder", *map(str, words)])
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture(scope="module")
def work(data):
    """Packed here, trained and measured on a lean machine, which was interrupted once."""
    here, there = data.parent / "here", data.parent / "there"
    recipe = ("--recipe", data.parent / "tiny.toml")
    words = [str(word) for word in ("--data", data, "--out", here, *recipe, "--train-gallery", "shelves")]
    assert main(["default-encoder", "pack", *words]) == 0
    there.mkdir()
    shutil.copytree(here / "packs", there / "packs")

    training = lean("train", "evaluate", "--out", there, *recipe)
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and training.poll() is None and not (there / "run" / "log.jsonl").is_file():
        time.sleep(0.05)
    training.send_signal(signal.SIGTERM)
    out, err = training.communicate(timeout=400)
    assert training.returncode == 130, err
    step = int(re.search(r"stopped at step (\d+) of 90, saved; the same command goes on", out)[1])
    assert 0 < step < 90
    assert not (there / "figures.json").exists()

    training = lean("train", "evaluate", "--out", there, *recipe)
    out, err = training.communicate(timeout=400)
    assert training.returncode == 0, err
    assert "trained 90 of 90 steps" in out
    assert "tensorboardX is not installed, so there will be no" in err
    for name in ("run", "figures.json"):
        (shutil.copytree if (there / name).is_dir() else shutil.copyfile)(there / name, here / name)
    return here


def test_the_lean_machine_lacks_what_it_should():
    """Otherwise the run on it shows nothing."""
    there = allowed_modules()
    assert {"torch", "numpy", "PIL", "safetensors", "training"} <= there
    for name in ("scipy", "tensorboardX", "rich", "tomli_w", "onnx", "onnxruntime", "timm", "bentoml", "faiss"):
        assert name not in there


def test_figures_are_those_of_the_run_by_each_sets_own_protocol(work, data):
    figures = json.loads((work / "figures.json").read_text())
    state = read_state(work / "run")
    assert figures["checkpoint"]["step"] == state.step == 90
    assert figures["recipe"]["seed"] == 0
    fields, shelves = figures["sets"]["fields"], figures["sets"]["shelves"]
    assert (fields["protocol"], fields["num_queries"]) == ("leave one out in test", 12)
    assert (shelves["protocol"], shelves["num_queries"]) == ("test queries, train gallery", 8)
    for measured in (fields, shelves):
        assert list(measured["methods"]) == ["encoder", "untrained", "colour histogram"]
        for figure in (one for method in measured["methods"].values() for one in method.values()):
            assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    # The histogram by itself, on the pictures as they were packed.
    pictures = labelled_pictures(work.parent / "there" / "pictures" / "test" / "shelves")
    train = labelled_pictures(data / "shelves" / "train")
    expected = query_gallery(histogram_embeddings(pictures), pictures.labels, histogram_embeddings(train), train.labels)
    found = shelves["methods"]["colour histogram"]["mAP"]["value"]
    assert found == pytest.approx(expected.mean_average_precision, abs=0.1)  # WebP moves it a little


def test_export_at_home_writes_a_bundle_as_small_as_asked_in_parts(work, capsys):
    """nano has 2.7 M parameters: 10.7 MB in float32, so at most 12 MB with int8 means float16."""
    words = ("export", "--out", work, "--max-mb", 12, "--floor", 0.5, "--licence", "research use only")
    code, out, err = lodisc(capsys, *words, "--domain", "painted fields", "--parts", "--part-mb", 2)
    assert code == 0, err
    assert "MB, at most 12 MB are asked for" in err
    bundle = Bundle.open(work / "bundle")
    assert sum(path.stat().st_size for path in bundle.path.iterdir()) <= 12e6
    assert set(bundle.manifest.variants) == {"fp32", "int8"}
    assert "weights stored as float16" in bundle.manifest.variants["fp32"].method
    assert bundle.manifest.variants["fp32"].parity["rounding_cosine"] >= 0.999
    assert (bundle.manifest.licence, bundle.manifest.domain) == ("research use only", "painted fields")
    assert bundle.manifest.trained_on.startswith("25 unlabelled pictures of fields, shelves, 30 epochs")
    assert out.count("verified on") == 2
    # What the card says is what figures.json says.
    figures, card = json.loads((work / "figures.json").read_text()), (work / "bundle" / "README.md").read_text()
    for name, measured in figures["sets"].items():
        value = measured["methods"]["encoder"]["mAP"]["value"]
        assert bundle.manifest.figures[f"{name} mAP"] == value
        (row,) = re.findall(rf"\| {name} \({measured['protocol']}\) \| this encoder \|.*", card)
        assert f"| {value:.3f} (" in row
    for text in ("| fields | 15 | 12 |", "research use only", "seed 0", 'encoder = "nano"', "## Limits"):
        assert text in card
    assert max(path.stat().st_size for path in (work / "parts").glob("part-*")) <= 2e6
    assert join_bundle(work / "parts", work / "joined").manifest == bundle.manifest
    # What is served finds what the run found.
    pictures = labelled_pictures(work / "pictures" / "test" / "fields")
    found = leave_one_out(BundleEmbedder(work / "joined")(pictures), pictures.labels)
    expected = figures["sets"]["fields"]["methods"]["encoder"]["mAP"]["value"]
    assert found.mean_average_precision == pytest.approx(expected, abs=0.02)


def test_what_is_done_is_not_done_again(work, data, capsys):
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}
    words = ("--data", data, "--out", work, "--recipe", data.parent / "tiny.toml", "--train-gallery", "shelves")
    settings = ("--max-mb", 12, "--floor", 0.5, "--licence", "research use only", "--domain", "painted fields")
    code, _, err = lodisc(capsys, *words, *settings)
    assert code == 0, err
    for text in ("are of these pictures already", "is trained already", "is measured already", "of this run already"):
        assert text in err
    after = {path: path.stat().st_mtime_ns for path in work.rglob("*") if path.is_file()}
    assert {path for path in before if after[path] != before[path]} <= {work / "figures.json"}


def test_a_bundle_that_cannot_be_so_small_is_refused_and_the_old_one_stays(work, capsys):
    before = (work / "bundle" / "manifest.json").read_bytes()
    code, _, err = lodisc(capsys, "export", "--out", work, "--max-mb", 2, "--no-int8")
    assert code == 2
    assert "even with its weights stored as float16, at most 2 MB are asked for; train a smaller encoder" in err
    assert (work / "bundle" / "manifest.json").read_bytes() == before
    assert not list(work.glob(".bundle*"))


def test_a_damaged_pack_is_refused_before_training(work, data, tmp_path, capsys):
    shutil.copytree(work / "packs", tmp_path / "packs")
    path = tmp_path / "packs" / "train-000.tar"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    code, _, err = lodisc(capsys, "train", "--out", tmp_path, "--recipe", data.parent / "tiny.toml")
    assert code == 2
    assert re.search(r"pack .*train-000.tar is damaged: .*; copy it again, or pack again", err)
    assert not (tmp_path / "run").exists()


def test_figures_of_another_checkpoint_are_refused(work, tmp_path, capsys):
    for name in ("packs", "run"):
        shutil.copytree(work / name, tmp_path / name)
    figures = json.loads((work / "figures.json").read_text())
    figures["checkpoint"]["sha256"] = "0" * 64
    (tmp_path / "figures.json").write_text(json.dumps(figures))
    code, _, err = lodisc(capsys, "export", "--out", tmp_path)
    assert code == 2
    assert "are of another checkpoint" in err
    assert "do the stage evaluate again" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("cook",), "cook is no stage; the stages are pack, train, evaluate, export"),
        (("pack",), "the stage pack needs pictures; name them with --data DIR"),
        ((), "holds no packs.json; pack pictures with --data DIR"),
        (("evaluate",), "/run does not exist; give the --out folder of a `lodisc train` run"),
        (("--data", "nowhere"), "nowhere does not exist"),
        (("--epochs", "3", "--minutes", "3"), "--epochs and --minutes exclude each other"),
        (("--minutes", "0"), "--minutes is 0.0, expected above 0"),
        (("--quality", "101"), "--quality is 101, expected 1 to 100"),
        (("--floor", "2"), "--floor is 2.0"),
        (("--recipe", "no-such"), "recipe no-such not found"),
        (("--device", "cuda:7"), "--device cpu"),
        (("--sets", "cars"), "--sets is of the stage pack, which is not done here; name pictures with --data"),
        (("train", "--data", "."), "--data is of the stage pack, which is not asked for"),
    ],
)
def test_wrong_words_are_one_clear_line_and_exit_code_2(tmp_path, capsys, words, message):
    code, _, err = lodisc(capsys, *words, "--out", tmp_path / "out")
    assert code == 2, err
    assert err.startswith("lodisc: error: ")
    assert err.count("\n") == 1
    assert message in err


def test_nothing_is_written_among_the_pictures_nor_read_where_it_is_written(data, tmp_path, capsys):
    shutil.copytree(data, tmp_path / "pictures")
    before = sorted(tmp_path.rglob("*"))
    for pictures, out, message in (
        (tmp_path / "pictures", tmp_path / "pictures" / "encoder", "lies in --data"),
        (tmp_path / "pictures", tmp_path / "pictures", "lies in --data"),
        (tmp_path / "pictures" / "fields", tmp_path, "keeps its pictures; choose another --out"),
    ):
        code, _, err = lodisc(capsys, "--data", pictures, "--out", out, "--recipe", data.parent / "tiny.toml")
        assert (code, err.count("\n")) == (2, 1)
        assert message in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_place_that_cannot_be_written_is_one_clear_line(data, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    words = ("--data", data, "--recipe", data.parent / "tiny.toml")
    code, _, err = lodisc(capsys, *words, "--out", tmp_path / "file" / "encoder")
    assert code == 2, err
    told = err.splitlines()[-1]
    assert told.startswith(f"lodisc: error: {tmp_path / 'file'}")
    assert "cannot be written or read: " in told
    assert "Traceback" not in err


def test_packs_of_others_than_the_run_are_refused(work, data, tmp_path, capsys):
    for name in ("run", "figures.json"):
        (shutil.copytree if (work / name).is_dir() else shutil.copyfile)(work / name, tmp_path / name)
    recipe = ("--recipe", data.parent / "tiny.toml")
    assert main([str(word) for word in ("default-encoder", "pack", "--data", data / "fields", "--out", tmp_path / "p",
                                        *recipe)]) == 0  # fmt: skip
    (tmp_path / "p" / "packs").rename(tmp_path / "packs")
    for stage in ("evaluate", "export"):
        code, _, err = lodisc(capsys, stage, "--out", tmp_path)
        assert code == 2
        assert "was trained on other packs" in err


def test_a_recipe_of_another_layout_is_refused_before_packing(data, tmp_path, capsys):
    recipe = tmp_path / "published.toml"
    recipe.write_text(RECIPE + 'layout = "caltech101"\n')
    code, _, err = lodisc(capsys, "--data", data, "--out", tmp_path / "out", "--recipe", recipe)
    assert code == 2
    assert "has layout 'caltech101', but packs are folders whose sub-folders are labels; take layout out" in err
    assert not (tmp_path / "out").exists()


def test_a_folder_without_test_pictures_is_trained_and_says_that_nothing_was_measured(data, tmp_path, capsys):
    words = ("--data", data / "fields" / "train", "--out", tmp_path / "out", "--recipe", data.parent / "tiny.toml")
    code, out, err = lodisc(capsys, *words, "--epochs", 2, "--no-int8", "--quiet")
    assert code == 0, err
    assert "no set has test pictures, so nothing was measured" in out
    assert "Nothing: no set has test pictures." in (tmp_path / "out" / "bundle" / "README.md").read_text()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_passes_on_what_is_asked_for():
    variables = ["DATA=my sets", "OUT=enc", "RECIPE=quick", "EPOCHS=7", "PARTS=1", "OPTIONS=--seed 3"]
    done = subprocess.run(
        ["make", "-n", "default-encoder", *variables], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (line,) = re.findall(r"lodisc default-encoder (.*)", done.stdout.replace("\\\n", " "))
    expected = '--out "enc" --data "my sets" --recipe "quick" --epochs 7 --parts --seed 3'
    assert line.split() == expected.split()
