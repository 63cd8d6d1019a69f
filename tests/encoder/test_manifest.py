"""manifest.json: strict about everything; every fault is one line that names it."""

import json
from dataclasses import replace

import pytest
from tiny_encoder import write_tiny_bundle

from encoder.errors import BundleNotFoundError, ManifestError
from encoder.manifest import load_manifest, parse_manifest, save_manifest


@pytest.fixture
def bundle(tmp_path):
    return write_tiny_bundle(tmp_path / "bundle")


def edit(bundle, change):
    path = bundle / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_round_trip(bundle, tmp_path):
    manifest = replace(load_manifest(bundle), name="Käfer", figures={"map": 0.5}, recipe={"a": [1, None, {"b": "c"}]})
    (tmp_path / "copy").mkdir()
    save_manifest(manifest, tmp_path / "copy")
    assert load_manifest(tmp_path / "copy") == manifest
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["manifest.json"]


FAULTS = {
    "unknown key": (lambda m: m.update(colour="red"), "unknown key colour in manifest"),
    "missing key": (lambda m: m.pop("licence"), "manifest lacks licence"),
    "nested unknown key": (lambda m: m["preprocessing"].update(x=1), "unknown key x in manifest.preprocessing"),
    "wrong type": (lambda m: m.update(embedding_dim="24"), "embedding_dim is '24', expected a whole number"),
    "bool for a number": (lambda m: m.update(embedding_dim=True), "expected a whole number"),
    "wrong length": (lambda m: m["preprocessing"].update(mean=[1, 2]), "expected a list of 3"),
    "not finite": (lambda m: m["figures"].update(map=float("nan")), "figures.map is nan, expected a finite number"),
    "newer format": (lambda m: m.update(format_version=3), "format_version is 3, this program reads up to 2"),
    "unknown resize": (lambda m: m["preprocessing"].update(resize="crop"), "resize is 'crop', expected one of"),
    "crop out of range": (lambda m: m["preprocessing"].update(crop_fraction=0), "crop_fraction is 0"),
    "no embedding": (lambda m: m.update(outputs=["attention"]), "expected 'embedding' among them"),
    "path as file": (lambda m: m["variants"]["fp32"].update(sha256={"../../etc/passwd": ""}), "not a plain file name"),
    "no fp32": (lambda m: m.update(variants={}), "expected 'fp32' among them"),
    "wrong type inside a list": (lambda m: m.update(outputs=["embedding", 1]), "outputs[1] is 1, expected a string"),
    "list for an object": (lambda m: m.update(figures=[]), "figures is [], expected an object"),
    "string for a list": (lambda m: m.update(outputs="embedding"), "expected a list"),
    "fraction for a whole number": (lambda m: m.update(embedding_dim=24.0), "is 24.0, expected a whole number"),
    "infinite": (lambda m: m["preprocessing"].update(crop_fraction=float("inf")), "expected a finite number"),
    "a number beyond floats": (lambda m: m["figures"].update(map=10**400), "expected a finite number"),
    "not finite, deep in the recipe": (
        lambda m: m.update(recipe={"a": [{"b": float("nan")}]}),
        "recipe.a is [{'b': nan}], expected finite",
    ),
    "no image": (lambda m: m["preprocessing"].update(image_size=0), "image_size is 0, expected 1 to 4096"),
    "crop above one": (lambda m: m["preprocessing"].update(crop_fraction=1.01), "crop_fraction is 1.01"),
    "unknown interpolation": (lambda m: m["preprocessing"].update(interpolation="area"), "'area', expected one of"),
    "zero std": (lambda m: m["preprocessing"].update(std=[1, 0, 1]), "expected above 0"),
    "no dimensions": (lambda m: m.update(embedding_dim=0), "expected at least 1"),
    "grid of nothing": (lambda m: m.update(patch_grid=[0, 4]), "patch_grid is (0, 4), expected at least 1 x 1"),
    "attention without a grid": (lambda m: m.update(patch_grid=None), "not null where patches are an output"),
    "tokens without a width": (lambda m: m["outputs"].append("tokens"), "token_dim is None, expected at least 1"),
    "an output of another name": (lambda m: m["outputs"].append("heat"), "expected of embedding, attention, tokens"),
    "no graph": (lambda m: m["variants"]["fp32"].update(graphs=[]), "variant 'fp32' has no graph"),
    "a graph that is not hashed": (
        lambda m: m["variants"]["fp32"]["graphs"][0].update(file="other.onnx"),
        "has a graph whose file is not among its sha256",
    ),
    "a graph without the embedding": (
        lambda m: m["variants"]["fp32"]["graphs"][0].update(outputs=["attention"]),
        "has a graph without the embedding",
    ),
    "pruning of everything": (
        lambda m: m["variants"]["fp32"].update(pruning={"after_layer": 1, "keep_ratio": 0.0}),
        "has a pruning that is out of range",
    ),
    "key of two lines": (lambda m: m.update({"a\nb": 1}), r"unknown key 'a\nb' in manifest"),
    "dictionary key of two lines": (lambda m: m["figures"].update({"a\nb": "x"}), r"figures.'a\nb' is 'x'"),
    "endless value": (lambda m: m.update(embedding_dim="9" * 10_000), "99..., expected a whole number"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_manifest_faults_are_named_in_one_line(bundle, fault):
    change, message = FAULTS[fault]
    edit(bundle, change)
    with pytest.raises(ManifestError) as caught:
        load_manifest(bundle)
    assert message in caught.value.message
    assert "manifest.json" in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"[" + b"9" * 5000 + b"]",
        b"\xef\xbb\xbf{}",
    ],
    ids=["empty", "cut", "list", "null", "text", "not utf-8", "deep", "long number", "byte order mark"],
)
def test_a_manifest_that_is_none(bundle, content):
    (bundle / "manifest.json").write_bytes(content)
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        load_manifest(bundle)


def test_a_manifest_of_the_first_format_still_opens(bundle):
    now = load_manifest(bundle)

    def older(m):
        fp32 = m["variants"]["fp32"]
        m["format_version"] = 1
        m["variants"]["fp32"] = {
            "file": "encoder.onnx", "sha256": fp32["sha256"]["encoder.onnx"], "precision": "fp32", "parity": {}
        }  # fmt: skip
        for name in ("token_dim", "golden_sha256", "source"):
            del m[name]

    edit(bundle, older)
    read = load_manifest(bundle)
    assert read.variants["fp32"] == replace(now.variants["fp32"], method="as trained")
    assert (read.id, read.outputs, read.token_dim) == (now.id, now.outputs, None)
    edit(bundle, lambda m: m["variants"]["fp32"].pop("sha256"))
    with pytest.raises(ManifestError, match=r"sha256.encoder.onnx is None"):
        load_manifest(bundle)


PATH_LIKE = [
    "golden.json",
    "../encoder.onnx",
    "/etc/passwd",
    "a/b.onnx",
    "..",
    ".",
    "",
    "a\\b.onnx",
    "a\0b",
    "\ud800",
    "manifest.json",
    "-x",
]


@pytest.mark.parametrize("name", PATH_LIKE, ids=ascii)
def test_a_variant_is_a_plain_file_name(bundle, name):
    edit(bundle, lambda m: m["variants"]["fp32"].update(sha256={name: "0" * 64}))
    with pytest.raises(ManifestError, match="not a plain file name"):
        load_manifest(bundle)


def test_every_key_is_required_and_none_is_invented(bundle):
    document = json.loads((bundle / "manifest.json").read_text())
    places = {"manifest": document, "preprocessing": document["preprocessing"], "fp32": document["variants"]["fp32"]}
    for where, place in places.items():
        for key in list(place):
            value = place.pop(key)
            with pytest.raises(ManifestError, match=f"{where} lacks {key}"):
                parse_manifest(document, "here")
            place[key] = value
        place["extra"] = 1
        with pytest.raises(ManifestError, match=f"unknown key extra in .*{where}"):
            parse_manifest(document, "here")
        del place["extra"]
    parse_manifest(document, "here")


def test_an_older_reader_is_told_to_update_before_anything_else(bundle):
    edit(bundle, lambda m: m.update(format_version=7, something_new={}))
    with pytest.raises(ManifestError, match=r"format_version is 7, this program reads up to 2; update"):
        load_manifest(bundle)


def test_no_manifest(tmp_path):
    with pytest.raises(BundleNotFoundError, match=r"has no manifest\.json"):
        load_manifest(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(BundleNotFoundError, match="is not a bundle"):
        load_manifest(tmp_path / "file")
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(ManifestError, match="cannot be read"):
        load_manifest(tmp_path)


def test_what_could_not_be_read_back_is_not_written(bundle, tmp_path):
    manifest = load_manifest(bundle)
    (tmp_path / "new").mkdir()
    for wrong in (
        replace(manifest, figures={"map": float("nan")}),
        replace(manifest, outputs=[]),
        replace(manifest, embedding_dim=0),
    ):
        with pytest.raises(ManifestError):
            save_manifest(wrong, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_crop_boxes_by_hand(bundle):
    shortest = load_manifest(bundle).preprocessing
    assert shortest.crop_box(60, 40) == (10, 0, 50, 40)
    assert shortest.crop_box(40, 61) == (0, 10.5, 40, 50.5)
    assert replace(shortest, crop_fraction=0.5).crop_box(60, 40) == (20, 10, 40, 30)
    stretch = replace(shortest, resize="stretch")
    assert stretch.crop_box(60, 40) == (0, 0, 60, 40)
    assert replace(stretch, crop_fraction=0.5).crop_box(60, 40) == (15, 10, 45, 30)
