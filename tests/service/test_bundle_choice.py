import shutil
from pathlib import Path

import pytest

from encoder.bundle import Bundle
from encoder.errors import BundleNotFoundError, EncoderMismatchError
from index.sqlite_catalogue import SqliteCatalogue
from service.bundle_choice import choose_bundle


@pytest.fixture
def moved(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A catalogue whose bundle is no longer where it was."""
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    SqliteCatalogue.create(tmp_path / "catalogue", Bundle.open(tmp_path / "bundle")).close()
    shutil.rmtree(tmp_path / "bundle")
    return tmp_path / "catalogue"


def test_a_shipped_bundle_serves_only_if_it_is_the_same(
    moved: Path, tiny_bundle: Path, other_bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(other_bundle, tmp_path / "shipped" / "a")
    with SqliteCatalogue.open(moved) as catalogue:
        with pytest.raises(BundleNotFoundError, match="--bundle"):
            choose_bundle(catalogue, None, tmp_path / "shipped")
        shutil.copytree(tiny_bundle, tmp_path / "shipped" / "b")
        assert choose_bundle(catalogue, None, tmp_path / "shipped").path == tmp_path / "shipped" / "b"


def test_the_named_bundle_is_taken_or_refused(moved: Path, tiny_bundle: Path, other_bundle: Path) -> None:
    with SqliteCatalogue.open(moved) as catalogue:
        assert choose_bundle(catalogue, tiny_bundle).path == tiny_bundle
        with pytest.raises(EncoderMismatchError):
            choose_bundle(catalogue, other_bundle)
        with pytest.raises(BundleNotFoundError):
            choose_bundle(catalogue, tiny_bundle / "missing")
