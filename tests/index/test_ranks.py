"""Label ranks keep their order, whatever a folder's depth and whoever puts an item."""

import numpy as np
import pytest
from tiny_encoder import DIM

from encoder.bundle import Bundle
from encoder.errors import ConfigError
from index.answers.vote import predict
from index.items import NewItem
from index.ranks import folder_ranks, in_order, read_ranks
from index.sources.picture import DEFAULT_RANKS
from index.sources.reading import read_source
from index.sqlite_catalogue import SqliteCatalogue


def test_ranks_are_read():
    assert read_ranks("species, genus ,family") == ("species", "genus", "family")
    assert read_ranks("wing shape") == ("wing shape",)


@pytest.mark.parametrize("text", ["", "a,", "a,a", "a,b\nc"])
def test_ranks_that_are_no_names_are_refused(text):
    with pytest.raises(ConfigError, match="expected different names"):
        read_ranks(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [("id", "a column of its own"), ("species,path", "path, which is a column"), ("not", "a word of filters"),
     ("genus,IN", "IN, which is a word of filters"), ("exists", "choose another name")],
)  # fmt: skip
def test_ranks_that_mean_something_else_are_refused(text, why):
    with pytest.raises(ConfigError, match=why):
        read_ranks(text)


@pytest.mark.parametrize(
    ("num_folders", "ranks", "expected"),
    [
        (0, ("species", "genus"), []),
        (1, (), ["label"]),
        (2, (), ["label", "group"]),
        (5, (), ["label", "group", "supergroup", "level_4", "level_5"]),
        (1, ("species",), ["species"]),
        (2, ("species",), ["species", "group"]),
        (1, ("species", "genus", "family"), ["family"]),
        (2, ("species", "genus", "family"), ["genus", "family"]),
        (3, ("species", "genus", "family"), ["species", "genus", "family"]),
        (4, ("species", "genus", "family"), ["species", "genus", "family", "level_4"]),
        (4, ("group", "label"), ["group", "label", "supergroup", "level_4"]),
        (3, ("group",), ["group", "supergroup", "level_4"]),
    ],
)
def test_folders_are_named_from_the_inside_and_fewer_than_ranks_are_the_coarsest(num_folders, ranks, expected):
    assert folder_ranks(num_folders, ranks, DEFAULT_RANKS) == expected


def test_one_folder_is_one_rank_whatever_lies_deeper(tmp_path):
    for path in ("Vanessa/atalanta/1.jpg", "Vanessa/2.jpg", "3.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    found = {picture.facts.id: picture.facts.labels for picture in read_source(str(tmp_path), ("species", "genus"))}
    assert found == {
        "Vanessa/atalanta/1.jpg": {"species": "atalanta", "genus": "Vanessa"},
        "Vanessa/2.jpg": {"genus": "Vanessa"},
        "3.jpg": {},
    }


def test_labels_in_order():
    labels = in_order({"habitat": "wood", "genus": "Pica", "species": "pica"}, ("species", "genus", "family"))
    assert list(labels.items()) == [("species", "pica"), ("genus", "Pica"), ("habitat", "wood")]


@pytest.fixture
def catalogue(tmp_path, tiny_bundle):
    ranks = ("species", "genus")
    with SqliteCatalogue.create(tmp_path / "catalogue", Bundle.open(tiny_bundle), ranks=ranks) as opened:
        yield opened


def unit(seed):
    vector = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


def with_labels(item_id, seed, labels, metadata=None):
    return NewItem(
        id=item_id,
        labels=labels,
        metadata=metadata or {},
        source="",
        content_hash="",
        embedding=unit(seed),
        thumbnail=b"",
    )


def test_the_order_is_the_catalogue_s_in_items_matches_the_vote_and_stats(catalogue):
    catalogue.put([with_labels("a", 1, {"genus": "Pica", "family": "Corvidae", "species": "pica"})])
    assert list(catalogue.get("a").labels) == ["species", "genus", "family"]
    match = catalogue.search(unit(1)[None], k=1)[0][0]
    assert list(match.labels) == ["species", "genus", "family"]
    prediction = predict([[match]], [1.0], catalogue.ranks, None)
    assert (prediction.label, prediction.rank) == ("pica", "species")
    assert [one.rank for one in prediction.ranks] == ["species", "genus", "family"]
    stats = catalogue.stats()
    assert stats.ranks == ("species", "genus")
    assert list(stats.labels) == ["species", "genus", "family"]


def test_an_item_without_the_finest_rank_votes_with_the_next(catalogue):
    catalogue.put([with_labels("a", 1, {"genus": "Pica"}), with_labels("b", 2, {"genus": "Pica"})])
    prediction = predict(catalogue.search(unit(1)[None], k=2), [1.0], catalogue.ranks, None)
    assert (prediction.label, prediction.rank, prediction.confidence) == ("Pica", "genus", 1.0)


def test_a_rank_renamed_later_is_followed_by_an_open_catalogue(catalogue, tiny_bundle):
    catalogue.put([with_labels("a", 1, {"species": "pica", "genus": "Pica"})])
    with SqliteCatalogue.open(catalogue.path) as other:
        other.remember(bundle_path=tiny_bundle, ranks=("genus", "kind"))
        other.put([with_labels("b", 2, {"kind": "corvid", "genus": "Corvus"})])
    catalogue.put([with_labels("c", 3, {"kind": "corvid", "genus": "Corvus"})])
    for item_id in "bc":
        assert list(catalogue.get(item_id).labels) == ["genus", "kind"]
    stats = catalogue.stats()
    assert stats.ranks == ("genus", "kind")
    assert list(stats.labels.items()) == [("genus", 2), ("kind", 1), ("species", 1)]


def test_one_name_may_be_a_label_of_one_item_and_metadata_of_another(catalogue):
    """As where a rank was named after a first source had the same column as metadata."""
    catalogue.put([with_labels("old", 1, {}, {"locality": "Ulm"}), with_labels("new", 2, {"locality": "Ulm"})])
    assert catalogue.count('locality == "Ulm"') == 2
    assert [item.id for item in catalogue.items(filter='locality == "Ulm"').items] == ["new", "old"]
    assert catalogue.count() == 2
