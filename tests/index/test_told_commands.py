"""Commands in messages about a catalogue whose path has spaces: a shell reads the path back."""

import shlex
import sqlite3

import pytest

from encoder.bundle import Bundle
from encoder.errors import BundleNotFoundError, CatalogueError
from encoder.image_encoder import ImageEncoder
from index.build import build, open_for_build
from index.sources.reading import read_source
from index.sqlite_catalogue import SqliteCatalogue
from index.verification import verify
from lodisc.cli import main
from lodisc.commands.index_stats import _stats_text


@pytest.fixture
def path(tmp_path, tiny_bundle, picture_folder):
    path = tmp_path / "it's my catalogue"
    bundle = Bundle.open(tiny_bundle)
    with open_for_build(path, bundle) as catalogue:
        build(catalogue, ImageEncoder(bundle), read_source(picture_folder), quiet=True)
    return path


def words_after(command, text):
    """What a shell reads of a message from a command on."""
    return shlex.split(text[text.index(command) :].replace("`", " ").replace(";", " "))


def test_no_catalogue(path):
    with pytest.raises(CatalogueError) as told:
        SqliteCatalogue.open(path / "no such one")
    assert str(path / "no such one") in words_after("lodisc index build", told.value.message)


def test_another_encoder(path, other_bundle):
    with SqliteCatalogue.open(path) as catalogue, pytest.raises(CatalogueError) as told:
        catalogue.find_bundle(other_bundle)
    assert str(path) in words_after("lodisc index build", told.value.message)


def test_what_mends_it(path):
    connection = sqlite3.connect(path / "catalogue.sqlite")
    connection.execute("UPDATE item SET content_hash = 'zz', metadata = '{' WHERE row = 3")
    connection.execute("UPDATE meta SET value = '/no such bundle' WHERE key = 'bundle_path'")
    connection.commit()
    connection.close()
    report = verify(path, means=None, tell=lambda part, done, total: None)
    assert words_after("lodisc", report.of("documents").remedy) == ["lodisc", "index", "verify", str(path), "--repair"]
    expected = ["lodisc", "index", "build", str(path), "--images", "SOURCE", "--bundle", "/no such bundle"]
    assert words_after("lodisc", report.of("hashes").remedy) == expected


def test_what_is_not_calibrated(path):
    with SqliteCatalogue.open(path) as catalogue:
        text = _stats_text(path, catalogue.stats(), None)
    assert words_after("lodisc index calibrate", text.replace("\n", " ; "))[3] == str(path)


def test_no_bundle(tmp_path):
    with pytest.raises(BundleNotFoundError) as told:
        Bundle.open(tmp_path / "my bundle")
    assert str(tmp_path / "my bundle") in words_after("lodisc export", told.value.message.replace("project's", ""))


def test_what_comes_after_a_build(path, picture_folder, tiny_bundle, capsys):
    assert main(["index", "build", str(path), "--images", str(picture_folder), "--bundle", str(tiny_bundle)]) == 0
    printed = capsys.readouterr().out
    for command in ("lodisc search", "lodisc serve"):
        assert str(path) in words_after(command, printed)
