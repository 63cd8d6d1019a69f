"""`lodisc export` and `lodisc bundle` as a person calls them, on a run, its bundle and a server of it."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from live_server import serving
from pictures import write_picture_folder
from served_catalogue import build_served_catalogue

from encoder.bundle import Bundle
from lodisc.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle-cli")
    write_picture_folder(folder / "photos", per_label=4)
    small = (
        "--encoder nano --image-size 32 --patch-size 8 --hidden-dim 32 --projection-dim 16 --epochs 1 --batch-size 6"
    )
    assert main(["train", "--data", str(folder / "photos"), "--out", str(folder / "run"), *small.split()]) == 0
    assert main(["export", str(folder / "run"), "--out", str(folder / "bundle"), "--int8", "--floor", "0.5"]) == 0
    return folder


@pytest.fixture
def bundle(folder, tmp_path):
    """A copy to be spoilt."""
    return shutil.copytree(folder / "bundle", tmp_path / "bundle")


def lodisc(capsys, *words):
    capsys.readouterr()
    code = main([str(word) for word in words])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_show(folder, capsys):
    code, out, _ = lodisc(capsys, "bundle", "show", folder / "bundle")
    manifest = Bundle.open(folder / "bundle").manifest
    assert code == 0
    for text in (manifest.id, "variant       fp32", "variant       int8: dynamic int8", "attention of CLS", "photos"):
        assert text in out
    code, out, _ = lodisc(capsys, "bundle", "show", folder / "bundle", "--json")
    assert json.loads(out)["id"] == manifest.id


def test_verify_every_variant_torch_and_a_running_server(folder, tmp_path, capsys):
    catalogue = build_served_catalogue(tmp_path / "served", folder / "bundle")
    with serving(catalogue, tmp_path / "log") as server:
        words = ("--run", folder / "run", "--server", server.url)
        code, out, err = lodisc(capsys, "bundle", "verify", folder / "bundle", *words)
        assert (code, err) == (0, "")
        assert out.count("agrees") == 4


def test_verify_a_server_that_is_not_there_and_one_of_another_encoder(folder, other_bundle, tmp_path, capsys):
    code, out, err = lodisc(capsys, "bundle", "verify", folder / "bundle", "--server", "http://127.0.0.1:9")
    assert code == 1
    assert "FAILED" in out
    assert "did not answer" in err
    catalogue = build_served_catalogue(tmp_path / "served", other_bundle)
    with serving(catalogue, tmp_path / "log") as server:
        code, _, err = lodisc(capsys, "bundle", "verify", folder / "bundle", "--server", server.url)
    assert code == 1
    assert "serves encoder" in err


def test_a_truncated_graph_a_damaged_weight_and_an_edited_manifest(bundle, capsys):
    whole = {name: (bundle / name).read_bytes() for name in ("encoder.onnx", "encoder.weights", "manifest.json")}
    flipped = bytearray(whole["encoder.weights"])
    flipped[len(flipped) // 2] ^= 1
    damages = {
        "encoder.onnx": (whole["encoder.onnx"][:-100], "has sha256"),
        "encoder.weights": (bytes(flipped), "has sha256"),
        "manifest.json": (
            whole["manifest.json"].replace(b'"crop_fraction": 1.0', b'"crop_fraction": 0.9'),
            "edited by hand",
        ),
    }
    for name, (damage, message) in damages.items():
        (bundle / name).write_bytes(damage)
        for words in (("bundle", "verify", bundle), ("bundle", "show", bundle)):
            code, _, err = lodisc(capsys, *words)
            assert (code, err.count("\n")) == (2, 1)
            assert message in err
        (bundle / name).write_bytes(whole[name])
    document = json.loads(whole["manifest.json"])
    (bundle / "manifest.json").write_text(json.dumps(document | {"format_version": 99}))
    code, _, err = lodisc(capsys, "bundle", "show", bundle)
    assert (code, err.count("\n")) == (2, 1)
    assert "format_version is 99, this program reads up to 2; update lodisc" in err


def test_a_variant_that_answers_otherwise_is_found(folder, bundle, capsys):
    """int8's files in place of fp32's, with their hashes: whole, and still another encoder."""
    document = json.loads((bundle / "manifest.json").read_text())
    variants = document["variants"]
    variants["fp32"]["graphs"], variants["fp32"]["sha256"] = variants["int8"]["graphs"], variants["int8"]["sha256"]
    (bundle / "manifest.json").write_text(json.dumps(document))
    code, _, err = lodisc(capsys, "bundle", "verify", bundle)
    assert code == 2
    (found,) = [word for word in err.split() if len(word.strip(";")) == 16 and word.strip(";") != document["id"]][:1]
    (bundle / "manifest.json").write_text(json.dumps(document | {"id": found.strip(";")}))
    code, out, err = lodisc(capsys, "bundle", "verify", bundle)
    assert code == 1
    assert "FAILED" in out
    assert "variant fp32 disagrees with the network it was made from" in err


def test_diff(folder, bundle, capsys):
    code, out, _ = lodisc(capsys, "bundle", "diff", folder / "bundle", bundle)
    assert (code, out) == (0, "no difference\n")
    document = json.loads((bundle / "manifest.json").read_text())
    document["licence"] = "MIT"
    del document["variants"]["int8"]
    (bundle / "manifest.json").write_text(json.dumps(document))
    code, out, _ = lodisc(capsys, "bundle", "diff", folder / "bundle", bundle)
    assert code == 1
    assert 'licence: "not stated" -> "MIT"' in out
    assert "variants.int8: only in the first" in out


def test_register_in_bentoml_s_store_and_serve_from_there(folder, tmp_path):
    """In a process of its own: BentoML reads its home once."""
    environment = {**os.environ, "BENTOML_HOME": str(tmp_path / "home"), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "lodisc", "bundle", "register", str(folder / "bundle"), "--tag", "Fields"]
    for _ in range(2):  # the second time it is there already
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    tag = f"fields:{Bundle.open(folder / 'bundle').manifest.id}"
    assert f"- {tag}" in done.stdout
    code = (
        "from pathlib import Path; from encoder.bundle import Bundle; from service.model_store import find;"
        f"print(Bundle.open(find('{tag}')).manifest.id); find('nothing:1')"
    )
    asked = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert asked.stdout.strip() == tag.split(":")[1]
    assert "has no bundle nothing:1" in asked.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to export"),
        (["RUN", "--timm", "vit_tiny_patch16_224"], "one of them alone"),
        (["RUN", "--encoder", "nano"], "--encoder describe the architecture of --init"),
        (["RUN", "--weights", "x"], "--weights is the file of --timm"),
        (["RUN", "--calibrate", "PHOTOS"], "say --int8 too"),
        (["RUN", "--floor", "2"], "--floor is 2.0"),
        (["RUN", "--num-pictures", "1"], "--num-pictures is 1"),
        (["RUN", "--prune", "half"], "--prune is 'half'"),
        (["RUN", "--figures", "nothing.json"], "--figures nothing.json is not readable"),
        (["nowhere"], "nowhere does not exist; give the --out folder"),
        (["--init", "nothing.pth"], "initial weights nothing.pth do not exist"),
        (["--init", "BROKEN", "--encoder", "nano"], "is not a readable file of weights"),
        (["--init", "RUN", "--encoder", "nano"], "is of a run of lodisc train; export it by `lodisc export"),
        (["--untrained", "--init", "nothing.pth"], "--untrained is the control"),
        (["RUN", "--out", "/proc/nowhere/bundle"], "cannot be written"),
        (["RUN", "--out", "BUNDLE"], "already exists; choose another --out, or say --overwrite"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(folder, tmp_path, capsys, words, message):
    torch.save({"cls_token": torch.zeros(1, 1, 192)}, tmp_path / "broken.pth")
    (tmp_path / "broken.pth").write_bytes((tmp_path / "broken.pth").read_bytes()[:-60])
    places = {
        "RUN": folder / "run", "PHOTOS": folder / "photos", "BUNDLE": folder / "bundle",
        "BROKEN": tmp_path / "broken.pth",
    }  # fmt: skip
    words = [places.get(word, word) for word in words]
    if "--out" not in words:
        words += ["--out", tmp_path / "new"]
    code, out, err = lodisc(capsys, "export", *words)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["broken.pth"]
