"""What tests of every room share: two tiny encoders and a folder of pictures."""

from pathlib import Path

import pytest
from pictures import write_picture_folder
from tiny_encoder import write_tiny_bundle


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "other", seed=1, name="other")


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    return write_picture_folder(tmp_path / "photos")
