"""The tally of labels against counting them all, whatever is written between two questions."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from milvus_lite_store import create_lite, needs_milvus
from tiny_encoder import DIM
from vector_catalogue import item_of

from encoder.bundle import Bundle
from index.label_tally import first_labels
from index.sqlite_catalogue import SqliteCatalogue

RANKS = ("species", "genus")
VECTOR = np.eye(DIM, dtype=np.float32)[0]


def labelled(item_id, labels):
    return replace(item_of(item_id, VECTOR), labels=labels)


def counted(truth):
    counts = {}
    for labels in truth.values():
        for rank, label in labels.items():
            counts.setdefault(rank, Counter())[label] += 1
    return counts


@pytest.fixture(params=["folder", pytest.param("milvus-lite", marks=needs_milvus)])
def catalogue(request, tmp_path, tiny_bundle):
    if request.param == "folder":
        opened = SqliteCatalogue.create(tmp_path / "c", Bundle.open(tiny_bundle), ranks=RANKS)
    else:
        opened = create_lite(tmp_path / "c", tiny_bundle, ranks=RANKS)
    with opened:
        yield opened


def test_the_tally_is_what_counting_gives_after_every_write(catalogue):
    assert catalogue.labels() == {}
    generator, truth = random.Random(0), {}
    for _ in range(12):
        for _ in range(5):
            item_id = str(generator.randrange(20))
            labels = {} if generator.random() < 0.2 else {"genus": f"G{generator.randrange(3)}"}
            if labels and generator.random() < 0.8:
                labels["species"] = f"s{generator.randrange(6)}"
            catalogue.put([labelled(item_id, labels)])
            truth[item_id] = labels
        gone = generator.sample(sorted(truth), 2)
        catalogue.delete(gone)
        for item_id in gone:
            del truth[item_id]
        assert catalogue.labels() == counted(truth)
        assert catalogue.stats().labels == {rank: len(labels) for rank, labels in counted(truth).items()}
    assert list(catalogue.labels()) == ["species", "genus"]
    catalogue.delete(list(truth))
    assert catalogue.labels() == {}


def test_another_process_s_writes_are_counted_and_what_was_handed_out_stays(tmp_path, tiny_bundle):
    with (
        SqliteCatalogue.create(tmp_path / "c", Bundle.open(tiny_bundle), ranks=RANKS) as one,
        SqliteCatalogue.open(tmp_path / "c") as other,
    ):
        one.put([labelled("a", {"species": "x", "lot": "7"})])
        before = other.labels()
        one.put([labelled("a", {"species": "y"}), labelled("b", {"species": "y"})])
        assert other.labels() == {"species": {"y": 2}}
        assert before == {"species": {"x": 1}, "lot": {"7": 1}}


def test_the_first_labels_are_those_of_most_items_that_begin_so():
    counts = {"Vanessa": 3, "vanilla": 9, "Aglais": 9, "Ärger": 1, "Van": 3}
    assert first_labels(counts, "", 2).labels == [("Aglais", 9), ("vanilla", 9)]
    found = first_labels(counts, "VAN", 2)
    assert (found.labels, found.total) == ([("vanilla", 9), ("Van", 3)], 3)
    assert first_labels(counts, "är", 5).labels == [("Ärger", 1)]
    assert first_labels(counts, "x", 5).total == 0
