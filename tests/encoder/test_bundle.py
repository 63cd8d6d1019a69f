"""Bundles and manifests: strict about everything, written whole or not at all."""

import json
import shutil

import pytest
from tiny_encoder import tiny_onnx, write_tiny_bundle

from encoder.bundle import Bundle, write_bundle
from encoder.errors import BundleCorruptError, BundleError, BundleNotFoundError, LodiscError
from encoder.manifest import bundle_id


@pytest.fixture
def bundle(tmp_path):
    return write_tiny_bundle(tmp_path / "bundle")


def edit(bundle, change):
    path = bundle / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_the_id_is_of_weights_and_preprocessing(bundle, tmp_path):
    manifest = Bundle.open(bundle).manifest
    again = Bundle.open(write_tiny_bundle(tmp_path / "again", name="another name")).manifest
    other = Bundle.open(write_tiny_bundle(tmp_path / "other", seed=1)).manifest
    assert manifest.id == again.id != other.id
    assert len(manifest.id) == 16
    assert bundle_id("0" * 64, manifest.preprocessing) != manifest.id


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
