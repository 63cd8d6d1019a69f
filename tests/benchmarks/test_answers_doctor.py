"""The benchmark of the doctor on a small catalogue: it counts what it put in, and leaves the catalogue as it is."""

import json

import numpy as np
from answers_doctor import measure
from PIL import Image

from index.sqlite_catalogue import SqliteCatalogue
from lodisc.cli import main


def test_copies_are_found_and_the_catalogue_stays_as_it_is(tmp_path, tiny_bundle):
    for number in range(60):
        folder = tmp_path / "photos" / f"genus {number % 2}" / f"species {number % 4}"
        folder.mkdir(parents=True, exist_ok=True)
        patches = np.random.default_rng(number).integers(0, 256, (6, 6, 3)).astype(np.uint8)
        Image.fromarray(patches).resize((90, 90), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    path = tmp_path / "c"
    build = ["index", "build", str(path), "--images", str(tmp_path / "photos"), "--bundle", str(tiny_bundle)]
    assert main([*build, "--ranks", "species,genus", "--quiet"]) == 0
    with SqliteCatalogue.open(path) as catalogue:
        before = list(catalogue.records())
    measured = measure(path, seeds=(0, 1))
    assert json.loads(json.dumps(measured)) == measured
    assert measured["items"] == 60
    assert measured["rank_1"].keys() == {"species", "genus"}
    assert [run["same_file_recall"] for run in measured["runs"]] == [1.0, 1.0]
    assert measured["mean"]["duplicate_precision"] == 1.0
    assert measured["mean"]["encoded_anew_recall"] == 1.0
    with SqliteCatalogue.open(path) as catalogue:
        assert list(catalogue.records()) == before
