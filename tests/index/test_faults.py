"""Databases that are damaged, locked, or on a full disk: errors that say so, and nothing acknowledged lost."""

import json
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from tiny_encoder import DIM

from encoder.bundle import Bundle
from encoder.errors import CatalogueBusyError, CatalogueCorruptError
from index.faults import database_faults
from index.items import NewItem
from index.sqlite_catalogue import SqliteCatalogue


def new_item(number):
    vector = np.random.default_rng(number).normal(size=DIM).astype(np.float32)
    return NewItem(
        id=f"i{number}",
        labels={"label": "x"},
        metadata={},
        source="",
        content_hash=f"{number:064x}",
        embedding=vector / np.linalg.norm(vector),
        thumbnail=b"t" * 500,
    )


@pytest.fixture
def path(tmp_path, tiny_bundle):
    path = tmp_path / "catalogue"
    with SqliteCatalogue.create(path, Bundle.open(tiny_bundle)) as catalogue:
        catalogue.put([new_item(number) for number in range(40)])
    return path


@pytest.mark.parametrize(
    "use",
    [
        lambda catalogue: catalogue.stats(),
        lambda catalogue: catalogue.get("i3"),
        lambda catalogue: catalogue.thumbnail("i3"),
        lambda catalogue: catalogue.items(),
        lambda catalogue: list(catalogue.ids()),
        lambda catalogue: catalogue.search(np.ones((1, DIM), np.float32), k=3),
        lambda catalogue: catalogue.put([new_item(3)]),
        lambda catalogue: catalogue.compact(),
    ],
)
def test_a_damaged_database_is_told_wherever_it_is_met(path, use):
    with SqliteCatalogue.open(path) as catalogue:
        content = bytearray((path / "catalogue.sqlite").read_bytes())
        page = int.from_bytes(content[16:18], "big")  # the first page stays whole, so that the file can be opened
        for position in range(page, len(content)):
            content[position] ^= 0x5A
        (path / "catalogue.sqlite").write_bytes(content)
        with pytest.raises(CatalogueCorruptError, match="is damaged .* --fresh"):
            use(catalogue)


USES = {
    "stats": lambda catalogue: catalogue.stats(),
    "labels": lambda catalogue: catalogue.labels(),
    "items": lambda catalogue: catalogue.items(),
    "records": lambda catalogue: list(catalogue.records()),
    "filter": lambda catalogue: catalogue.count('label == "x"'),
    "get": lambda catalogue: catalogue.get("i3"),
    "search": lambda catalogue: catalogue.search(np.ones((1, DIM), np.float32), k=40),
}


@pytest.mark.parametrize("use", ["stats", "labels", "items", "records", "get", "search"])
@pytest.mark.parametrize("labels", ["x'7b226c6162656c223a22f8227d'", "x'7b22ec6162656c223a2278227d'", "'{'"])
def test_a_text_that_cannot_be_read_is_told(path, use, labels):
    """A flipped bit makes of a letter no UTF-8, in a label or in a rank, or of JSON none."""
    connection = sqlite3.connect(path / "catalogue.sqlite")
    connection.execute(f"UPDATE item SET labels = CAST({labels} AS TEXT) WHERE id = 'i3'")
    connection.commit()
    connection.close()
    with SqliteCatalogue.open(path) as catalogue, pytest.raises(CatalogueCorruptError, match="index verify") as told:
        USES[use](catalogue)
    assert "\n" not in told.value.message


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("start", [4096, 8192, 16384])
def test_pages_that_were_overwritten_are_told(path, use, start):
    content = bytearray((path / "catalogue.sqlite").read_bytes())
    content[start:60_000] = b"\xff" * (60_000 - start)
    (path / "catalogue.sqlite").write_bytes(content)
    with pytest.raises(CatalogueCorruptError), SqliteCatalogue.open(path) as catalogue:
        USES[use](catalogue)


def test_a_locked_database_is_busy(path, monkeypatch):
    monkeypatch.setattr("index.schema.BUSY_TIMEOUT_S", 0.05)
    other = sqlite3.connect(path / "catalogue.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with SqliteCatalogue.open(path) as catalogue:
        with pytest.raises(CatalogueBusyError, match="try again"):
            catalogue.put([new_item(99)])
        assert len(catalogue.search(np.ones((1, DIM), np.float32), k=100)[0]) == 40, "readers do not wait"
        other.execute("ROLLBACK")
        catalogue.put([new_item(99)])
        assert catalogue.get("i99") is not None
    other.close()


def test_mistakes_of_the_program_stay_what_they_are(tmp_path):
    connection = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError, match="syntax"), database_faults(tmp_path):
        connection.execute("SELEKT")
    connection.close()


@pytest.mark.parametrize("limit", [10_000, 60_000, 120_000])
def test_a_full_disk_is_one_line_and_the_next_run_continues(tmp_path, tiny_bundle, picture_folder, limit):
    """No file may grow over the limit; the run after it has room again ends with every picture."""
    command = [sys.executable, "-m", "lodisc", "index", "build", str(tmp_path / "catalogue"), "--json"]
    command += ["--images", str(picture_folder), "--bundle", str(tiny_bundle), "--batch-size", "2"]
    # Not preexec_fn: it forks this process, and threads of gRPC that other tests have started do not survive that.
    limited = ["prlimit", f"--fsize={limit}:{limit}", *command]
    full = subprocess.run(limited, capture_output=True, text=True)
    assert full.returncode == 2
    assert full.stderr.startswith("lodisc: error: ")
    assert full.stderr.count("\n") == 1
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["encoded"] + report["unchanged"] == 12
    with SqliteCatalogue.open(tmp_path / "catalogue") as catalogue:
        assert catalogue.stats().items == 12
