"""A catalogue measured on itself against a naive loop, what is left out of it, and the command."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from tiny_encoder import DIM
from vector_catalogue import clustered, item_of

from encoder.bundle import Bundle
from encoder.errors import ConfigError
from index import exact_ranking, vector_file
from index.evaluation import evaluate_catalogue
from index.evaluation_classes import class_rows, confusion
from index.sqlite_catalogue import SqliteCatalogue
from index.vectors import pack, unpack
from lodisc.cli import main


@pytest.fixture
def catalogue(tmp_path, tiny_bundle):
    with SqliteCatalogue.create(tmp_path / "catalogue", Bundle.open(tiny_bundle), ranks=("species", "genus")) as opened:
        yield opened


def fill(catalogue, num=90):
    """Items of 8 species and 3 genera, every tenth without a species; returned with their vectors as stored."""
    items = []
    for number, vector in enumerate(clustered(num, clusters=6)):
        species = number % 7 if number else 7  # number 0 is the only one of its species
        labels = {"genus": f"G{species % 3}"} | ({"species": f"s{species}"} if number % 10 or not number else {})
        items.append(replace(item_of(f"i{number}", vector), labels=labels, content_hash=f"{number:064}"))
    catalogue.put(items)
    return [replace(item, embedding=unpack([pack(item.embedding, DIM)], DIM)[0]) for item in items]


def naive(items, rank, k):
    """Hits of the first neighbour, average precision, votes, and pairs of labels, by nothing but loops."""
    first, precision, votes, pairs, alone = [], [], [], [], 0
    for query in items:
        if rank not in query.labels:
            continue
        others = [other for other in items if other is not query and rank in other.labels]
        others.sort(key=lambda other: -float(query.embedding @ other.embedding))
        right = [other.labels[rank] == query.labels[rank] for other in others]
        if not any(right):
            alone += 1
            continue
        first.append(right.index(True))
        precision.append(np.mean([sum(right[: n + 1]) / (n + 1) for n in range(len(right)) if right[n]]))
        shares = Counter()
        for other in others[:k]:
            shares[other.labels[rank]] += max(0.0, float(query.embedding @ other.embedding))
        votes.append(max(shares, key=shares.get) == query.labels[rank])
        pairs.append((query.labels[rank], others[0].labels[rank]))
    return np.array(first), np.array(precision), votes, pairs, alone


def test_figures_are_those_of_a_naive_loop_at_every_rank(catalogue, monkeypatch):
    monkeypatch.setattr(exact_ranking, "MAX_GROUP", 7)
    monkeypatch.setattr(vector_file, "CHUNK", 13)
    items = fill(catalogue)
    evaluation = evaluate_catalogue(catalogue, k=7, quiet=True)
    assert [measured.rank for measured in evaluation.ranks] == ["species", "genus"]
    for measured in evaluation.ranks:
        first, precision, votes, pairs, alone = naive(items, measured.rank, 7)
        figures = measured.figures
        assert list(figures) == ["rank_1", "rank_5", "rank_7", "rank_10", "mAP", "vote_accuracy"]
        for k in (1, 5, 7, 10):
            assert figures[f"rank_{k}"].value == pytest.approx((first < k).mean())
        assert figures["mAP"].value == pytest.approx(precision.mean())
        assert figures["mAP"].low <= figures["mAP"].value <= figures["mAP"].high
        assert figures["vote_accuracy"].value == pytest.approx(np.mean(votes))
        assert measured.pairs() == pairs
        assert measured.results.num_without_positive == alone == (1 if measured.rank == "species" else 0)
        labels, table = confusion(measured)
        assert {(labels[row], labels[column]): table[row, column] for row, column in np.argwhere(table)} == Counter(
            pairs
        )
        for row in class_rows(measured):
            of_label = [pair for pair in pairs if pair[0] == row.label]
            wrong = Counter(pair for pair in of_label if pair[1] != row.label)
            assert row.num_items == sum(item.labels.get(measured.rank) == row.label for item in items)
            assert row.num_queries == len(of_label)
            assert row.times == max(wrong.values(), default=0)
            if of_label:
                assert row.rank_1 == pytest.approx(sum(pair[1] == row.label for pair in of_label) / len(of_label))


def test_a_name_under_two_others_is_two_labels_as_for_a_search(catalogue):
    """The figures are those of a catalogue in which no name is there twice."""
    vectors = clustered(60, clusters=4)
    genera = ["Rosa", "Lilium", "Rosa", "Lilium"]
    told = []
    for twice in (False, True):
        for number, vector in enumerate(vectors):
            genus = genera[number % 4] if number % 7 else genera[(number + 1) % 4]
            name = "alba" if number % 4 < 2 else "rubra"
            labels = {"species": name if twice else f"{name} ({genus})", "genus": genus}
            catalogue.put([replace(item_of(f"i{number}", vector), labels=labels, content_hash=f"{number:064}")])
        told.append(evaluate_catalogue(catalogue, k=5, quiet=True))
    by_name, twice = (evaluation.ranks[0] for evaluation in told)
    assert twice.items == by_name.items
    assert set(twice.items) == {"alba (Rosa)", "alba (Lilium)", "rubra (Rosa)", "rubra (Lilium)"}
    assert twice.figures == by_name.figures
    assert twice.figures["rank_1"].value < 1
    assert twice.pairs() == by_name.pairs()
    assert class_rows(twice) == class_rows(by_name)


def test_copies_are_neither_questions_nor_answers(catalogue):
    items = fill(catalogue)
    without = evaluate_catalogue(catalogue, quiet=True)
    catalogue.put([replace(item, id=f"copy of {item.id}") for item in items])
    catalogue.put([replace(items[1], id="otherwise", labels={"species": "s6", "genus": "G0"})])
    copied = evaluate_catalogue(catalogue, quiet=True)
    assert (copied.num_copies, copied.num_contradictions) == (91, 1)
    assert copied.num_queries == without.num_queries
    assert [measured.figures for measured in copied.ranks] == [measured.figures for measured in without.ranks]
    assert any("91 items have the content of an earlier one" in note for note in copied.notes())


def test_items_of_unknown_content_are_nobodys_copies(catalogue):
    catalogue.put(
        [replace(item_of(f"i{number}", vector), content_hash="") for number, vector in enumerate(clustered(9))]
    )
    assert evaluate_catalogue(catalogue, quiet=True).num_copies == 0


def test_a_sample_is_drawn_by_its_seed_and_asks_all(catalogue):
    items = fill(catalogue)
    whole, one, again, other = (
        evaluate_catalogue(catalogue, sample=sample, seed=seed, quiet=True)
        for sample, seed in ((0, 0), (20, 1), (20, 1), (20, 2))
    )
    assert (whole.num_queries, one.num_queries, one.num_candidates) == (len(items), 20, len(items))
    assert one.ranks[1].query_ids == again.ranks[1].query_ids != other.ranks[1].query_ids
    precision = dict(zip(whole.ranks[1].query_ids, whole.ranks[1].results.average_precision_A, strict=True))
    sampled = one.ranks[1]
    assert [precision[query] for query in sampled.query_ids] == list(sampled.results.average_precision_A)


def test_a_filter_leaves_questions_and_answers_out(catalogue):
    items = [item for item in fill(catalogue) if item.labels["genus"] != "G1"]
    measured = evaluate_catalogue(catalogue, filter='genus != "G1"', ranks=["genus"], quiet=True).ranks[0]
    assert measured.figures["mAP"].value == pytest.approx(naive(items, "genus", 10)[1].mean())
    assert set(measured.results.nearest_labels) == {"G0", "G2"}


def test_recall_tells_of_a_search_that_misses(catalogue, monkeypatch):
    fill(catalogue)
    assert evaluate_catalogue(catalogue, quiet=True).search.recall.value == 1.0
    search = catalogue.search
    monkeypatch.setattr(catalogue, "search", lambda queries, **options: [search(queries, **options)[0][:9]])
    assert evaluate_catalogue(catalogue, quiet=True).search.recall.value == pytest.approx(0.9)


def test_without_labels_only_the_search_is_measured_and_an_unknown_rank_is_named(catalogue):
    with pytest.raises(ConfigError, match="no labels at all"):
        evaluate_catalogue(catalogue, ranks=["species"], quiet=True)
    catalogue.put([replace(item_of(f"i{number}", vector), labels={}) for number, vector in enumerate(clustered(12))])
    evaluation = evaluate_catalogue(catalogue, quiet=True)
    assert (evaluation.ranks, evaluation.num_queries, evaluation.search.num_queries) == ([], 12, 12)


def test_an_empty_catalogue_has_nothing_to_measure(catalogue):
    evaluation = evaluate_catalogue(catalogue, quiet=True)
    assert (evaluation.num_queries, evaluation.search.recall, evaluation.search.latency_ms) == (0, None, {})


def test_the_command_prints_json_and_writes_a_page_that_needs_nothing_else(catalogue, tmp_path, capsys):
    items = fill(catalogue)
    odd = '<script>alert("&")</script>'
    catalogue.put([replace(items[1], labels={"species": odd, "genus": "G0"}, thumbnail=b"RIFF0000WEBP")])
    page = tmp_path / "page.html"
    assert main(["index", "evaluate", str(catalogue.path), "--json", "--html", str(page), "--sample", "0"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ranks"]["genus"]["num_queries"] == 90
    assert {"p50", "p90", "p99"} == answer["search"]["latency_ms"].keys()
    assert odd in [row["label"] for row in answer["ranks"]["species"]["per_class"]]
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "http" not in text
    assert text.count("<svg") == 4  # two curves and a confusion table for each of two ranks
    assert "data:image/webp;base64," in text
    assert main(["index", "evaluate", str(catalogue.path), "--per-class", "--rank", "genus"]) == 0
    assert "vote accuracy" in capsys.readouterr().out
    assert main(["index", "evaluate", str(catalogue.path), "--html", str(tmp_path / "no" / "page.html")]) == 2
    assert main(["index", "evaluate", str(catalogue.path), "--rank", "family"]) == 2
    assert "there are species, genus" in capsys.readouterr().err
