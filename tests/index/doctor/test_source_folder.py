"""The folder that the doctor names gives pictures the label that it speaks of."""

import itertools

import pytest

from index.doctor.source_folder import folder_of
from index.sources.folder import folder_labels


@pytest.mark.parametrize("declared", [(), ("species",), ("species", "genus"), ("species", "genus", "family")])
def test_a_picture_in_that_folder_has_the_label_and_the_coarser_ones(declared):
    """Of pictures in folders of any depth, at each of their ranks."""
    for depth in range(1, 6):
        labels = folder_labels("/".join([*(f"f{number}" for number in range(depth)), "0.jpg"]), declared)
        assert len(labels) == depth
        for rank in labels:
            coarser = dict(itertools.dropwhile(lambda one, rank=rank: one[0] != rank, labels.items()))
            folders = folder_of(labels, rank, declared)
            given = folder_labels("/".join([*folders, "1.jpg"]), declared)
            assert {one: given.get(one) for one in coarser} == coarser
            # What is finer is a person's to name, and no folder of the example's.
            assert {name for one, name in given.items() if one not in coarser} <= {one.upper() for one in labels}


@pytest.mark.parametrize(
    ("labels", "rank", "declared", "folders"),
    [
        ({"label": "atalanta", "group": "Vanessa"}, "label", (), ["Vanessa", "atalanta"]),
        ({"label": "atalanta", "group": "Vanessa"}, "group", (), ["Vanessa", "LABEL"]),
        ({"species": "atalanta", "genus": "Vanessa"}, "genus", ("species", "genus"), ["Vanessa"]),
        ({"species": "atalanta", "family": "F"}, "species", ("species", "genus", "family"), ["F", "GENUS", "atalanta"]),
        ({"species": "atalanta"}, "species", ("species", "genus"), ["GENUS", "atalanta"]),
        ({"species": "atalanta", "colour": "red"}, "colour", ("species", "genus"), None),
        ({"label": "and/or"}, "label", (), None),
        ({"label": ".hidden"}, "label", (), None),
    ],
)
def test_folders_of_one_picture(labels, rank, declared, folders):
    assert folder_of(labels, rank, declared) == folders
