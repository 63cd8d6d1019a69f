"""Bundles and manifests: strict about everything, written whole or not at all."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_encoder import tiny_onnx, write_tiny_bundle

from encoder.bundle import Bundle, write_bundle
from encoder.errors import BundleCorruptError, BundleError, BundleNotFoundError, LodiscError
from encoder.manifest import Graph, bundle_id, id_of


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
    assert bundle_id(["0" * 64], manifest.preprocessing) != manifest.id


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
        Bundle.open(bundle).variant("int8")


def test_written_by_rename_and_never_over_something_unasked(bundle, tmp_path):
    opened = Bundle.open(bundle)
    with pytest.raises(BundleError, match="--overwrite"):
        write_bundle(bundle, opened.manifest, {"encoder.onnx": b"other"})
    write_bundle(bundle, opened.manifest, {"encoder.onnx": opened.path / "encoder.onnx"}, overwrite=True)
    Bundle.open(bundle)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"the only one")
    files = {"encoder.onnx": opened.path / "encoder.onnx"}
    with pytest.raises(BundleError, match=r"photos holds no manifest.json, so it is not replaced"):
        write_bundle(tmp_path / "photos", opened.manifest, files, overwrite=True)
    assert (tmp_path / "photos" / "a.jpg").read_bytes() == b"the only one"


def test_a_write_that_fails_leaves_nothing(bundle, tmp_path):
    opened = Bundle.open(bundle)
    with pytest.raises(BundleError, match="cannot be written"):
        write_bundle(tmp_path / "new", opened.manifest, {"encoder.onnx": tmp_path / "does not exist"})
    with pytest.raises(LodiscError):
        write_bundle(bundle / "encoder.onnx" / "below a file", opened.manifest, {})
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    shutil.rmtree(bundle)


def test_an_edited_id_is_found(bundle):
    edit(bundle, lambda m: m.update(id="0" * 16))
    with pytest.raises(
        BundleCorruptError, match="manifest's id is 0000000000000000, its weights and preprocessing give"
    ):
        Bundle.open(bundle)
    assert Bundle.open(bundle, verify=False).manifest.id == "0" * 16


def test_every_kind_of_damage_is_one_line(bundle, tmp_path):
    whole = (bundle / "manifest.json").read_bytes()

    def directory_for_a_file():
        (bundle / "encoder.onnx").unlink()
        (bundle / "encoder.onnx").mkdir()

    damages = [
        lambda: (bundle / "manifest.json").write_bytes(whole[: len(whole) // 2]),
        lambda: (bundle / "manifest.json").write_bytes(whole.replace(b"bicubic", b"lanczos")),
        lambda: (bundle / "manifest.json").write_bytes(whole.replace(b'"encoder.onnx": "', b'"encoder.onnx": "0')),
        directory_for_a_file,
    ]
    for damage in damages:
        (bundle / "manifest.json").write_bytes(whole)
        damage()
        with pytest.raises(BundleError) as caught:
            Bundle.open(bundle)
        assert "\n" not in caught.value.message
        assert str(bundle) in caught.value.message


@pytest.mark.parametrize("path", ["x" * 300, "a\0b"], ids=["too long", "null byte"])
def test_paths_that_no_file_system_has(path):
    with pytest.raises(BundleNotFoundError, match="cannot be opened"):
        Bundle.open(path)


def test_files_that_are_not_the_manifest_s_are_not_published(bundle, tmp_path):
    opened = Bundle.open(bundle)
    for files in ({}, {"encoder.onnx": b"other"}, {"other.onnx": opened.path / "encoder.onnx"}):
        with pytest.raises(BundleCorruptError):
            write_bundle(tmp_path / "new", opened.manifest, files)
        with pytest.raises(BundleCorruptError):
            write_bundle(bundle, opened.manifest, files, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    Bundle.open(bundle)


def test_an_overwrite_that_fails_at_the_last_step_keeps_the_old_bundle(bundle, tmp_path, monkeypatch):
    opened = Bundle.open(bundle)
    rename = Path.replace

    def refuse_the_fresh_one(self, target):
        if self.name == "new":
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", refuse_the_fresh_one)
    with pytest.raises(BundleError, match="cannot be written: .*No space left"):
        write_bundle(bundle, opened.manifest, {"encoder.onnx": opened.path / "encoder.onnx"}, overwrite=True)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    Bundle.open(bundle)


def test_nothing_is_seen_at_the_path_before_it_is_whole(bundle, tmp_path, monkeypatch):
    opened, target, seen = Bundle.open(bundle), tmp_path / "new", []
    rename = Path.replace

    def watch(self, destination):
        seen.append((target.exists(), Path(destination) == target))
        return rename(self, destination)

    monkeypatch.setattr(Path, "replace", watch)
    write_bundle(target, opened.manifest, {"encoder.onnx": opened.path / "encoder.onnx"})
    assert seen == [(False, False), (False, True)]  # the manifest by rename, then the bundle by rename


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_destination(bundle, tmp_path):
    opened = Bundle.open(bundle)
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(BundleError, match="cannot be written: .*Permission denied"):
        write_bundle(tmp_path / "closed" / "new", opened.manifest, {"encoder.onnx": opened.path / "encoder.onnx"})


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc, the one folder where root cannot write either")
def test_a_destination_that_nobody_can_write(bundle):
    opened = Bundle.open(bundle)
    with pytest.raises(BundleError, match="cannot be written"):
        write_bundle(Path("/proc/lodisc-bundle"), opened.manifest, {"encoder.onnx": opened.path / "encoder.onnx"})


def test_everything_that_is_hashed_is_checked(bundle):
    (bundle / "golden.json").write_text("{}")
    edit(bundle, lambda m: m.update(golden_sha256="0" * 64))
    with pytest.raises(BundleCorruptError, match=r"golden\.json has sha256"):
        Bundle.open(bundle)
    (bundle / "golden.json").unlink()
    with pytest.raises(BundleCorruptError, match=r"golden\.json cannot be read"):
        Bundle.open(bundle)


def test_weights_apart_decide_the_id_and_graphs_of_other_outputs_do_not(bundle):
    manifest = Bundle.open(bundle).manifest
    fp32 = manifest.variants["fp32"]
    graphs = [Graph(file="encoder.onnx", outputs=["embedding"]), Graph(file="patches.onnx", outputs=["embedding"])]
    hashes = {"encoder.onnx": "a" * 64, "patches.onnx": "b" * 64, "encoder.weights": "c" * 64}

    def id_with(**changed):
        variant = replace(fp32, graphs=graphs, sha256={**hashes, **changed})
        return id_of(replace(manifest, variants={"fp32": variant}))

    assert id_with() == bundle_id(["a" * 64, "c" * 64], manifest.preprocessing)
    assert id_with(**{"patches.onnx": "d" * 64}) == id_with()
    assert id_with(**{"encoder.weights": "d" * 64}) != id_with()
    assert id_with(**{"encoder.onnx": "d" * 64}) != id_with()
