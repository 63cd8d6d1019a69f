"""The drawn insects: repeatable, told apart by marks and by nothing else, with the truth about the marks."""

import csv
import hashlib
import itertools
import subprocess
import sys

import numpy as np
import pytest

from encoder.histogram import color_histogram
from lodisc.insects.drawing import SIDE, draw_specimen
from lodisc.insects.geometry import mark_outlines, polygon_area, wing_outlines
from lodisc.insects.rates import first_neighbour_rates, measure
from lodisc.insects.species import MARK_RADIUS, SPECIES
from lodisc.insects.specimens import TRAIN_PER_SPECIES, specimen_path, write_specimens


def pixels(species, number, **options):
    return np.asarray(draw_specimen(species, number, **options).image).astype(int)


def test_thirty_species_in_ten_genera_of_three():
    genera = [species.genus.name for species in SPECIES]
    assert len(SPECIES) == 30
    assert {genera.count(name) for name in genera} == {3}
    assert len({species.name for species in SPECIES}) == 30


def test_a_specimen_is_the_same_in_every_process():
    here = draw_specimen(SPECIES[4], 7).image
    assert here.size == (SIDE, SIDE)
    program = (
        "import hashlib; from lodisc.insects.drawing import draw_specimen; from lodisc.insects.species import SPECIES\n"
        "print(hashlib.sha256(draw_specimen(SPECIES[4], 7).image.tobytes()).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert there == hashlib.sha256(here.tobytes()).hexdigest()


def test_specimens_differ():
    assert (pixels(SPECIES[0], 0) != pixels(SPECIES[0], 1)).mean() > 0.5


@pytest.mark.parametrize("first", range(0, 30, 3))
def test_sisters_share_the_area_of_their_marks_and_differ_in_the_marks(first):
    sisters = SPECIES[first : first + 3]
    for species in sisters:
        areas = []
        for mark in species.marks:
            outer, *holes = mark_outlines(mark)
            areas.append(polygon_area(outer) - sum(map(polygon_area, holes)))
        assert sum(areas) == pytest.approx(np.pi * MARK_RADIUS**2, rel=0.01)
    for one, other in itertools.combinations(sisters, 2):
        assert one.genus is other.genus
        assert one.marks != other.marks


@pytest.mark.parametrize("species", SPECIES, ids=lambda species: species.name)
def test_marks_lie_on_the_wings(species):
    from PIL import Image, ImageDraw

    side = 800
    mask = Image.new("1", (side, side))
    for outline in wing_outlines(species.genus).values():
        ImageDraw.Draw(mask).polygon([tuple(point) for point in ((outline + 1) * side / 2).tolist()], fill=1)
    wings = np.asarray(mask)
    for mark in species.marks:
        x, y = ((mark_outlines(mark)[0] + 1) * side / 2).astype(int).T
        assert wings[y, x].all()


@pytest.mark.parametrize(("species", "number"), [(0, 0), (8, 3), (13, 5), (17, 2), (22, 9), (29, 11)])
def test_the_recorded_regions_are_where_the_marks_are(species, number):
    """Drawn with and without marks, the pictures differ inside the recorded circles and nowhere else."""
    with_marks, without = pixels(SPECIES[species], number), pixels(SPECIES[species], number, with_marks=False)
    changed = np.abs(with_marks - without).max(axis=2) > 12
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    inside = np.zeros_like(changed)
    for mark in draw_specimen(SPECIES[species], number).marks:
        circle = np.hypot(x + 0.5 - mark.x, y + 0.5 - mark.y) <= mark.radius + 4  # the edge line and the blur
        if mark.visible:
            assert changed[circle].mean() > 0.1
        inside |= circle
    assert changed.any()
    assert not (changed & ~inside).any()


def test_every_specimen_shows_each_of_its_marks_on_a_side():
    """Half of the specimens of a few species; the drawing promises it of all."""
    for species in SPECIES[::5]:
        for number in range(0, 24, 2):
            regions = draw_specimen(species, number).marks
            seen = {region.part.split("_")[1] for region in regions if region.visible}
            assert len(seen) == len(species.marks)


@pytest.mark.slow
def test_the_folder_and_that_colour_does_not_tell_species_of_a_genus_apart(tmp_path):
    folder = write_specimens(tmp_path / "insects", specimens_per_species=5, train_per_species=3)
    assert len(list(folder.glob("train/*/*/*.jpg"))) == 90
    assert len(list(folder.glob("test/*/*/*.jpg"))) == 60
    with (folder / "marks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["path"] for row in rows}) == 150
    assert all((folder / row["path"]).is_file() for row in rows)
    rates = measure(folder, {})["colour histogram"]
    assert rates.within_genus < 0.5
    assert rates.genus > rates.species

    before = (folder / "complete.json").stat().st_mtime_ns
    write_specimens(folder, specimens_per_species=5, train_per_species=3)
    assert (folder / "complete.json").stat().st_mtime_ns == before, "a finished drawing was drawn again"


def test_paths_tell_the_part_and_the_species():
    assert specimen_path(SPECIES[0], TRAIN_PER_SPECIES - 1) == "train/Auralis/apicata/17.jpg"
    assert specimen_path(SPECIES[0], TRAIN_PER_SPECIES) == "test/Auralis/apicata/18.jpg"


def test_rates_by_hand():
    gallery = np.eye(4, dtype=np.float32)
    names = ["A/a", "A/b", "B/c", "B/d"]
    queries = np.array([[1, 0, 0, 0], [0.9, 0.8, 0, 0], [0.5, 0.4, 0, 0.3], [0, 0, 0, 1]], np.float32)
    rates = first_neighbour_rates(queries, ["A/a", "A/b", "B/d", "B/c"], gallery, names)
    # First neighbours: A/a (right), A/a (genus right), A/a (wrong), B/d (genus right);
    # within the genus: right, wrong, right, wrong.
    assert (rates.species, rates.genus, rates.within_genus) == (0.25, 0.75, 0.5)


def test_histogram_by_hand():
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0] = 255
    histogram = color_histogram(picture)
    assert histogram[0] == histogram[215] == pytest.approx(0.5**0.5)
    assert np.count_nonzero(histogram) == 2
