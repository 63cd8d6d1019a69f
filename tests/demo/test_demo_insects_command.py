"""`lodisc demo` with the drawn insects: what is measured is kept only while it is still true."""

import json

import pytest

from lodisc.cli import main
from lodisc.commands import demo_command
from lodisc.insects.specimens import write_specimens


@pytest.fixture
def few_specimens(monkeypatch):
    """Three specimens a species, two of them indexed, so that the whole command takes seconds."""

    def write_few(directory, *, on_progress):
        return write_specimens(directory, specimens_per_species=3, train_per_species=2, on_progress=on_progress)

    monkeypatch.setattr(demo_command, "write_specimens", write_few)


def test_rates_are_kept_for_the_same_drawing_and_encoders_only(
    tmp_path, tiny_bundle, few_specimens, capsys, monkeypatch
):
    monkeypatch.setattr(demo_command, "BUNDLES_DIR", tmp_path / "no-bundles")
    out = tmp_path / "out"
    arguments = ["demo", "--out", str(out), "--bundle", str(tiny_bundle), "--no-serve"]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert "catalogue: 60 pictures" in said.out
    assert "colour histogram" in said.out
    assert "not measured: the same network untrained" in said.err

    rates = out / "rates.json"
    assert [path.name for path in out.glob(".rates*")] == []
    document = json.loads(rates.read_text())
    document["rates"]["colour histogram"]["species"] = 0.987
    rates.write_text(json.dumps(document))
    assert main(arguments) == 0
    assert "98.7%" in capsys.readouterr().out, "measured again though nothing changed"

    document["measured"]["drawing"]["drawing"] = -1
    rates.write_text(json.dumps(document))
    assert main(arguments) == 0
    assert "98.7%" not in capsys.readouterr().out, "rates of another drawing were shown"


def test_out_that_is_a_file_is_one_clear_line(tmp_path, tiny_bundle, capsys):
    taken = tmp_path / "taken"
    taken.touch()
    assert main(["demo", "--out", str(taken), "--bundle", str(tiny_bundle), "--no-serve"]) == 2
    assert capsys.readouterr().err == (
        f"lodisc: error: --out is {taken}, which is a file; expected a folder or a new name\n"
    )
