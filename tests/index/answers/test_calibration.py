"""The file of a calibration, who follows it, and the command that writes it."""

import json
import logging
from dataclasses import replace

import pytest
from labelled_catalogue import drawn_pictures, fill

from encoder.errors import CatalogueCorruptError, EncoderMismatchError, SchemaVersionError
from index.answers.calibrate import calibrate_catalogue
from index.answers.calibration import CALIBRATION_NAME, read_calibration, write_calibration
from index.answers.follower import CalibrationFollower
from index.sqlite_catalogue import SqliteCatalogue
from lodisc.cli import main


@pytest.fixture
def path(tmp_path, tiny_bundle):
    vectors, labels = drawn_pictures(150, noise=0.9)
    metadata = [{"specimen": number // 2} for number in range(150)]
    return fill(tmp_path / "catalogue", tiny_bundle, vectors, labels, metadata=metadata)


@pytest.fixture
def catalogue(path):
    with SqliteCatalogue.open(path) as opened:
        yield opened


def test_what_is_written_is_read_and_another_encoder_s_is_refused(catalogue, path):
    assert read_calibration(path, catalogue.manifest) is None
    calibration = calibrate_catalogue(catalogue, quiet=True)
    write_calibration(path, calibration)
    assert read_calibration(path, catalogue.manifest) == calibration
    assert [file.name for file in path.glob("calibration*")] == [CALIBRATION_NAME]
    write_calibration(path, replace(calibration, encoder_id="another"))
    with pytest.raises(EncoderMismatchError, match="calibrate anew: lodisc index calibrate"):
        read_calibration(path, catalogue.manifest)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document.pop("k"),
        lambda document: document.update(more=1),
        lambda document: document.update(temperature=0),
        lambda document: document.update(k="many"),
        lambda document: document["ranks"]["genus"]["map"].update(slopes=[-1.0, 0.0]),
        lambda document: document["ranks"]["genus"]["map"].update(offset=None),
        lambda document: document["unknown"]["known"].update(centre=[0.0]),
        lambda document: document.update(ranks=[]),
        lambda document: document["ranks"]["species"]["several"]["2"]["map"].update(centre=[0.0]),
        lambda document: document["ranks"]["species"]["several"].update(two={}),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_refused(catalogue, path, spoil):
    write_calibration(path, calibrate_catalogue(catalogue, quiet=True))
    document = json.loads((path / CALIBRATION_NAME).read_text())
    spoil(document)
    (path / CALIBRATION_NAME).write_text(json.dumps(document))
    with pytest.raises(CatalogueCorruptError, match="calibrate anew"):
        read_calibration(path, catalogue.manifest)


def test_what_was_fitted_to_votes_of_before_is_told_with_the_command_that_renews_it(catalogue, path):
    write_calibration(path, calibrate_catalogue(catalogue, quiet=True))
    document = json.loads((path / CALIBRATION_NAME).read_text())
    for version in (1, 2):
        (path / CALIBRATION_NAME).write_text(json.dumps({**document, "version": version}))
        with pytest.raises(SchemaVersionError, match=f"earlier version .* lodisc index calibrate {path}"):
            read_calibration(path, catalogue.manifest)


def test_a_newer_version_is_refused_and_so_is_no_json(catalogue, path):
    (path / CALIBRATION_NAME).write_text('{"version": 99}')
    with pytest.raises(SchemaVersionError, match="version 99"):
        read_calibration(path, catalogue.manifest)
    for text in ("", "[]", "{}", "\xff"):
        (path / CALIBRATION_NAME).write_text(text, encoding="latin-1")
        with pytest.raises(CatalogueCorruptError):
            read_calibration(path, catalogue.manifest)


def test_a_follower_takes_up_a_newer_file_and_tells_once_of_one_it_cannot_use(catalogue, path, caplog):
    follower = CalibrationFollower(path, catalogue.manifest)
    assert follower.current() is None
    calibration = calibrate_catalogue(catalogue, quiet=True)
    write_calibration(path, calibration)
    assert follower.current() == calibration
    assert follower.current() is follower.current()
    write_calibration(path, replace(calibration, floor=0.9))
    assert follower.current().floor == 0.9
    (path / CALIBRATION_NAME).write_text("spoilt")
    with caplog.at_level(logging.WARNING):
        assert follower.current() is follower.current() is None
    assert len(caplog.records) == 1
    (path / CALIBRATION_NAME).unlink()
    assert follower.current() is None


def test_the_command_prints_stores_and_draws(path, tmp_path, capsys):
    assert main(["index", "stats", str(path)]) == 0
    assert f"lodisc index calibrate {path}" in capsys.readouterr().out
    page = tmp_path / "page.html"
    assert main(["index", "calibrate", str(path), "--html", str(page), "--floor", "0.6"]) == 0
    printed = capsys.readouterr().out
    assert "calibration error now" in printed
    assert "2 photographs: vote right" in printed
    assert "none of these: AUROC" in printed
    drawn = page.read_text(encoding="utf-8")
    assert drawn.count("<svg") == 3  # species, genus, unknown
    assert "<script" not in drawn
    assert drawn.count("2 photographs: expected calibration error") == 2
    assert main(["index", "calibrate", str(path), "--json", "--group", "specimen", "--false-acceptance", "0.1"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["group"], document["floor"], document["num_items"]) == ("specimen", 0.7, 150)
    stored = json.loads((path / CALIBRATION_NAME).read_text())
    assert stored == json.loads(json.dumps({"version": 3, **document}))
    with SqliteCatalogue.open(path) as catalogue:
        catalogue.delete([f"i{number}" for number in range(40)])
    assert main(["index", "stats", str(path)]) == 0
    assert f"40 changes since; do it again: lodisc index calibrate {path}" in capsys.readouterr().out
    assert main(["index", "stats", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["calibration"]["changes_since"] == 40


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--html", "nowhere/page.html"], "there is no folder nowhere"),
        (["--group", "a", "--questions", "b"], "with --questions leave it out"),
        (["--group", "nothing"], "has that in its metadata"),
        (["--questions", "nowhere"], "nowhere"),
        (["--floor", "2"], "not a number between 0 and 1"),
        (["--false-acceptance", "x"], "not a number between 0 and 1"),
        (["--sample", "-1"], "not a whole number"),
    ],
)
def test_a_wrong_flag_is_told_in_one_line(path, flags, message, capsys):
    try:
        code = main(["index", "calibrate", str(path), *flags])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (path / CALIBRATION_NAME).exists()


def test_stats_tell_a_calibration_of_items_that_are_gone(catalogue, path, capsys):
    calibration = calibrate_catalogue(catalogue, quiet=True)
    write_calibration(path, replace(calibration, change=calibration.change + 5))
    assert main(["index", "stats", str(path)]) == 0
    assert f"do it again: lodisc index calibrate {path}" in capsys.readouterr().out
