"""Bundles and manifests: strict about everything, written whole or not at all."""

import json
import shutil

import pytest
from tiny_encoder import tiny_onnx, write_tiny_bundle

from encoder.bundle import Bundle, write_bundle
from encoder.errors import BundleCorruptError, BundleError, BundleNotFoundError, LodiscError, ManifestError
from encoder.manifest import bundle_id, load_manifest, save_manifest


@pytest.fixture
def bundle(tmp_path):
    return write_tiny_bundle(tmp_path / "bundle")


def edit(bundle, change):
    path = bundle / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_round_trip(bundle, tmp_path):
    manifest = Bundle.open(bundle).manifest
    (tmp_path / "copy").mkdir()
    save_manifest(manifest, tmp_path / "copy")
    assert load_manifest(tmp_path / "copy") == manifest
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["manifest.json"]


def test_the_id_is_of_weights_and_preprocessing(bundle, tmp_path):
    manifest = Bundle.open(bundle).manifest
    again = Bundle.open(write_tiny_bundle(tmp_path / "again", name="another name")).manifest
    other = Bundle.open(write_tiny_bundle(tmp_path / "other", seed=1)).manifest
    assert manifest.id == again.id != other.id
    assert len(manifest.id) == 16
    assert bundle_id("0" * 64, manifest.preprocessing) != manifest.id


FAULTS = {
    "unknown key": (lambda m: m.update(colour="red"), "unknown key colour in manifest"),
    "missing key": (lambda m: m.pop("licence"), "manifest lacks licence"),
    "nested unknown key": (lambda m: m["preprocessing"].update(x=1), "unknown key x in manifest.preprocessing"),
    "wrong type": (lambda m: m.update(embedding_dim="24"), "embedding_dim is '24', expected a whole number"),
    "bool for a number": (lambda m: m.update(embedding_dim=True), "expected a whole number"),
    "wrong length": (lambda m: m["preprocessing"].update(mean=[1, 2]), "expected a list of 3"),
    "not finite": (lambda m: m["figures"].update(map=float("nan")), "figures.map is nan, expected a finite number"),
    "newer format": (lambda m: m.update(format_version=2), "format_version is 2, this program reads up to 1"),
    "unknown resize": (lambda m: m["preprocessing"].update(resize="crop"), "resize is 'crop', expected one of"),
    "crop out of range": (lambda m: m["preprocessing"].update(crop_fraction=0), "crop_fraction is 0"),
    "no embedding": (lambda m: m.update(outputs=["attention"]), "expected 'embedding' among them"),
    "path as file": (lambda m: m["variants"]["fp32"].update(file="../../etc/passwd"), "not a plain file name"),
    "no fp32": (lambda m: m.update(variants={}), "expected 'fp32' among them"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_manifest_faults_are_named_in_one_line(bundle, fault):
    change, message = FAULTS[fault]
    edit(bundle, change)
    with pytest.raises(ManifestError) as caught:
        Bundle.open(bundle)
    assert message in caught.value.message
    assert "manifest.json" in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b"\xff\xfe\x00"])
def test_a_manifest_that_is_none(bundle, content):
    (bundle / "manifest.json").write_bytes(content)
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        Bundle.open(bundle)


def test_damage_is_found_when_opening(bundle):
    onnx = bundle / "encoder.onnx"
    whole = onnx.read_bytes()
    for damage in (whole[:-1], whole[:100] + b"x" + whole[101:], b"", tiny_onnx(5)):
        onnx.write_bytes(damage)
        with pytest.raises(BundleCorruptError, match="sha256"):
            Bundle.open(bundle)
    onnx.unlink()
    with pytest.raises(BundleCorruptError, match="cannot be read"):
        Bundle.open(bundle)


def test_an_edited_preprocessing_no_longer_has_its_id(bundle):
    edit(bundle, lambda m: m["preprocessing"].update(crop_fraction=0.9))
    with pytest.raises(BundleCorruptError, match="edited by hand"):
        Bundle.open(bundle)


def test_missing_bundles_and_variants(bundle, tmp_path):
    with pytest.raises(BundleNotFoundError, match="lodisc export"):
        Bundle.open(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleNotFoundError, match=r"no manifest\.json"):
        Bundle.open(tmp_path / "empty")
    with pytest.raises(BundleNotFoundError, match="it has fp32"):
        Bundle.open(bundle).variant_path("int8")


def test_written_by_rename_and_never_over_something_unasked(bundle, tmp_path):
    opened = Bundle.open(bundle)
    with pytest.raises(BundleError, match="--overwrite"):
        write_bundle(bundle, opened.manifest, {"encoder.onnx": b"other"})
    write_bundle(bundle, opened.manifest, {"encoder.onnx": opened.variant_path()}, overwrite=True)
    Bundle.open(bundle)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_write_that_fails_leaves_nothing(bundle, tmp_path):
    opened = Bundle.open(bundle)
    with pytest.raises(BundleError, match="cannot be written"):
        write_bundle(tmp_path / "new", opened.manifest, {"encoder.onnx": tmp_path / "does not exist"})
    with pytest.raises(LodiscError):
        write_bundle(bundle / "encoder.onnx" / "below a file", opened.manifest, {})
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    shutil.rmtree(bundle)
