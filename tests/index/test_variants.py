"""A catalogue and the variant that filled it: remembered, used again, never mixed with one that sees other patches."""

from dataclasses import replace

import pytest
from tiny_encoder import write_tiny_bundle

from encoder.bundle import Bundle, write_bundle
from encoder.errors import BundleNotFoundError, EncoderMismatchError
from encoder.manifest import Pruning
from index.build import open_for_build
from index.sqlite_catalogue import SqliteCatalogue
from lodisc.cli import main


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A tiny bundle whose one graph stands for three variants."""
    folder = tmp_path_factory.mktemp("variants")
    tiny = Bundle.open(write_tiny_bundle(folder / "tiny"))
    fp32 = tiny.variant()
    variants = {
        "fp32": fp32,
        "int8": replace(fp32, precision="int8", method="as int8 would be"),
        "pruned": replace(fp32, pruning=Pruning(after_layer=1, keep_ratio=0.5), method="as if pruned"),
    }
    manifest = replace(tiny.manifest, variants=variants)
    return write_bundle(folder / "bundle", manifest, {"encoder.onnx": tiny.path / "encoder.onnx"})


@pytest.mark.parametrize(("filled", "wanted"), [("fp32", "int8"), ("int8", "fp32"), ("pruned", None), ("fp32", None)])
def test_precision_may_change_and_the_default_is_what_filled_it(bundle, tmp_path, filled, wanted):
    with SqliteCatalogue.create(tmp_path / "c", bundle, variant=filled) as catalogue:
        assert catalogue.variant == filled
        assert catalogue.choose_variant(bundle, wanted) == (wanted or filled)


@pytest.mark.parametrize(("filled", "wanted"), [("fp32", "pruned"), ("pruned", "int8")])
def test_other_patches_are_another_encoder(bundle, tmp_path, filled, wanted):
    open_for_build(tmp_path / "c", bundle, variant=filled).close()
    refused = pytest.raises(EncoderMismatchError, match=f"filled by variant {filled}.*--variant {wanted} --fresh")
    with SqliteCatalogue.open(tmp_path / "c") as catalogue, refused:
        catalogue.choose_variant(bundle, wanted)
    with pytest.raises(EncoderMismatchError):
        open_for_build(tmp_path / "c", bundle, variant=wanted)
    with open_for_build(tmp_path / "c", bundle, variant=wanted, fresh=True) as catalogue:
        assert catalogue.variant == wanted


def test_a_variant_that_is_not_there(bundle, tmp_path):
    with pytest.raises(BundleNotFoundError, match="has no variant 'fp8'; it has fp32, int8, pruned"):
        open_for_build(tmp_path / "c", bundle, variant="fp8")
    assert not (tmp_path / "c" / "catalogue.sqlite").exists()


def test_by_the_command_line(bundle, tmp_path, picture_folder, capsys):
    picture = str(picture_folder / "green" / "1.png")
    build = ["index", "build", str(tmp_path / "c"), "--images", str(picture_folder), "--bundle", str(bundle.path)]
    assert main([*build, "--variant", "pruned", "--quiet"]) == 0
    assert main([*build, "--quiet"]) == 0  # as before, since nothing else was said
    assert main(["search", str(tmp_path / "c"), picture, "--json"]) == 0
    capsys.readouterr()
    assert main(["search", str(tmp_path / "c"), picture, "--variant", "fp32"]) == 2
    assert main([*build, "--variant", "int8"]) == 2
    assert main(["serve", str(tmp_path / "c"), "--variant", "fp32"]) == 2
    assert main(["serve", str(tmp_path / "c"), "--providers", "gpu"]) == 2
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 4
    assert "unknown provider 'gpu'" in err[3]
