"""What tests of every room share: two tiny encoders and a folder of pictures."""

import signal
from pathlib import Path

import pytest
from pictures import write_picture_folder
from tiny_encoder import write_tiny_bundle


def pytest_configure() -> None:
    """Let Ctrl-C interrupt the commands that tests start, also where a shell has begun the tests in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "other", seed=1, name="other")


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    return write_picture_folder(tmp_path / "photos")
