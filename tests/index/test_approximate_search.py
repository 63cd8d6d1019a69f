"""Approximate snapshots held against brute force: chosen, built, searched with much removed, damaged."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_encoder import DIM, write_tiny_bundle
from vector_catalogue import best_cosines, clustered, item_of, put_vectors, recall

from encoder.bundle import Bundle
from encoder.errors import ConfigError
from index import ann_choice, ann_search, ann_tuning, snapshot, snapshot_build
from index.ann_candidates import CANDIDATES
from index.ann_tuning import exact_truth
from index.ann_wishes import IndexWishes
from index.snapshot import newest_snapshot
from index.sqlite_catalogue import SqliteCatalogue
from index.vector_file import VectorFile, write_vectors

QUERIES = clustered(60, seed=5)


@pytest.fixture(autouse=True)
def approximate_when_tiny(monkeypatch):
    monkeypatch.setattr(ann_choice, "EXACT_NUMBERS", 0)
    monkeypatch.setattr(snapshot, "FEW", 20)


@pytest.fixture
def catalogue(tmp_path, tiny_bundle):
    with SqliteCatalogue.create(tmp_path / "catalogue", Bundle.open(tiny_bundle)) as opened:
        yield opened


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    """One catalogue whose index was chosen by measurement; tests of it write nothing."""
    folder = tmp_path_factory.mktemp("chosen")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ann_choice, "EXACT_NUMBERS", 0)
        with SqliteCatalogue.create(folder / "c", Bundle.open(write_tiny_bundle(folder / "b"))) as opened:
            truth = put_vectors(opened, clustered(4000))
            opened.compact()
            yield opened, truth


def test_the_choice_is_one_that_was_measured_and_meets_what_was_asked(chosen):
    catalogue, truth = chosen
    stats = catalogue.stats()
    trials = {trial["kind"]: trial for trial in stats.snapshot_trials}
    assert set(trials) == {candidate.name for candidate in CANDIDATES}
    assert trials[stats.snapshot_kind]["verdict"] == "chosen"
    assert trials[stats.snapshot_kind]["recall"] >= 0.98
    assert [trial["verdict"] for trial in trials.values()].count("chosen") == 1
    assert stats.snapshot_recall >= 0.95
    assert stats.snapshot_latency_ms > 0
    assert recall(catalogue, truth, QUERIES) >= 0.95


@pytest.mark.parametrize("k", [1, 100, 1000])
def test_recall_holds_at_other_depths(chosen, k):
    catalogue, truth = chosen
    assert recall(catalogue, truth, QUERIES[:20], k) >= 0.95


def test_many_queries_at_once_are_those_queries_one_by_one(chosen):
    catalogue, _ = chosen
    together = catalogue.search(QUERIES[:5], k=7)
    assert together == [catalogue.search(query[None], k=7)[0] for query in QUERIES[:5]]


@pytest.mark.parametrize("factory", [candidate.pattern.format(lists=30, codes=DIM // 4) for candidate in CANDIDATES])
def test_every_candidate_loses_nothing_when_most_is_removed(catalogue, factory):
    """Half at random, then all around half of the queries, then all but a few, then all."""
    catalogue.wish(IndexWishes(faiss=factory))
    truth = put_vectors(catalogue, clustered(2000))
    catalogue.compact()
    assert recall(catalogue, truth, QUERIES) >= 0.95

    def remove(ids):
        catalogue.delete(ids)
        for item_id in ids:
            del truth[item_id]

    remove([f"i{number}" for number in range(0, 2000, 2)])
    assert recall(catalogue, truth, QUERIES) >= 0.95
    near = [item_id for item_id, vector in truth.items() if (QUERIES[:30] @ vector).max() > 0.5]
    assert len(near) > 200
    remove(near)
    assert recall(catalogue, truth, QUERIES) >= 0.95
    remove(list(truth)[: len(truth) - 30])
    assert recall(catalogue, truth, QUERIES, k=50) == 1.0
    remove(list(truth)[:25])
    assert recall(catalogue, truth, QUERIES, k=10) == 1.0
    remove(list(truth))
    assert catalogue.search(QUERIES[:1], k=5) == [[]]
    assert catalogue.compact().count == 0
    assert catalogue.search(QUERIES[:1], k=5) == [[]]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 11, 45])
def test_tiny_catalogues_are_chosen_for_as_well(catalogue, count):
    truth = put_vectors(catalogue, clustered(count))
    info = catalogue.compact()
    assert info.count == count
    if count:
        assert recall(catalogue, truth, QUERIES, k=100) == 1.0
    else:
        assert catalogue.search(QUERIES[:1], k=3) == [[]]


def test_copies_of_one_picture_do_not_confuse_the_measurement(catalogue):
    copies = np.repeat(clustered(30), 40, axis=0)
    catalogue.wish(IndexWishes(faiss="IVF8,SQ8"))
    put_vectors(catalogue, copies)
    assert catalogue.compact().recall >= 0.98


def test_the_choice_stands_until_the_catalogue_has_doubled_or_the_wishes_change(catalogue):
    put_vectors(catalogue, clustered(400))
    first = catalogue.compact().choice
    put_vectors(catalogue, clustered(200, seed=1), "more")
    second = catalogue.compact().choice
    assert (second.trials, second.count, second.kind) == (first.trials, 400, first.kind)
    put_vectors(catalogue, clustered(300, seed=2), "yet-more")
    assert catalogue.compact().choice.count == 900
    catalogue.wish(IndexWishes(recall=0.9))
    assert catalogue.compact().choice.trials != second.trials


def test_wishes_are_remembered(catalogue):
    put_vectors(catalogue, clustered(300))
    catalogue.wish(IndexWishes(exact=True))
    with SqliteCatalogue.open(catalogue.path) as reopened:
        assert reopened.compact().kind == "Flat"
        reopened.wish(IndexWishes(faiss="IVF4,SQ8", memory=10**9))
    info = catalogue.compact()
    assert (info.kind, info.wishes) == ("IVF4,SQ8", IndexWishes(faiss="IVF4,SQ8", memory=10**9))


def test_what_does_not_fit_into_memory_is_not_chosen(catalogue, caplog):
    put_vectors(catalogue, clustered(2000))
    sizes = {trial.kind: trial.memory_bytes for trial in catalogue.compact().choice.trials}
    largest = max(sizes, key=sizes.__getitem__)
    catalogue.wish(IndexWishes(memory=sizes[largest] - 1))
    assert catalogue.compact().kind != largest
    assert not caplog.records
    catalogue.wish(IndexWishes(memory=1000))
    assert catalogue.compact().kind == min(sizes, key=sizes.__getitem__)
    assert "fits into --memory" in caplog.text


@pytest.mark.parametrize("factory", ["no such index", "IVF4,PQ7x4"])
def test_a_factory_that_faiss_does_not_know_is_refused_when_it_is_named(catalogue, factory):
    with pytest.raises(ConfigError, match="--faiss"):
        catalogue.wish(IndexWishes(faiss=factory))
    assert catalogue.wishes() == IndexWishes()


@pytest.mark.parametrize("factory", ["IVF1000,Flat", "PQ6x4fs", "HNSW8_PQ2x4"])
def test_a_factory_that_cannot_do_it_for_these_vectors_is_told(catalogue, factory):
    """More lists than vectors; no way to leave out what was removed."""
    put_vectors(catalogue, clustered(300))
    catalogue.wish(IndexWishes(faiss=factory))
    with pytest.raises(ConfigError, match="--recall"):
        catalogue.compact()
    assert len(catalogue.search(QUERIES[:1], k=5)[0]) == 5


@pytest.mark.parametrize("factory", ["OPQ6,IVF8,SQ8", "IVF8,Flat,RFlat", "SQfp16", "HNSW8", "PCA12,IVF4,SQ8"])
def test_other_faiss_indexes_can_be_named(catalogue, factory):
    catalogue.wish(IndexWishes(faiss=factory, recall=0.9))
    truth = put_vectors(catalogue, clustered(1500))
    catalogue.compact()
    catalogue.delete([f"i{number}" for number in range(700)])
    truth = {item_id: vector for item_id, vector in truth.items() if int(item_id[1:]) >= 700}
    assert recall(catalogue, truth, QUERIES) >= 0.85


@pytest.mark.parametrize("name", ["index.faiss", "rows.npy", "snapshot.json"])
def test_no_flipped_bit_gets_past_opening(catalogue, name, caplog):
    catalogue.wish(IndexWishes(faiss="IVF4,SQ8"))
    truth = put_vectors(catalogue, clustered(400))
    info = catalogue.compact()
    path = catalogue.path / "ann" / str(info.seq) / name
    whole = path.read_bytes()
    for position in np.random.default_rng(0).integers(len(whole), size=12).tolist():
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x08]) + whole[position + 1 :])
        with SqliteCatalogue.open(catalogue.path) as reopened:
            assert reopened.stats().snapshot_kind is None, position
            assert recall(reopened, truth, QUERIES[:3]) == 1.0
    assert "lodisc index compact" in caplog.text


def test_a_vector_that_is_damaged_after_opening_is_met_by_the_search_that_reads_it(catalogue, caplog):
    catalogue.wish(IndexWishes(faiss="IVF4,SQ8"))
    truth = put_vectors(catalogue, clustered(400))
    catalogue.compact()
    put_vectors(catalogue, clustered(3, seed=8), "late")
    truth |= {f"late{number}": vector for number, vector in enumerate(clustered(3, seed=8))}
    path = catalogue.path / "ann" / str(newest_snapshot(catalogue.path)) / "vectors.bin"
    record = 2 * DIM + 4
    with path.open("r+b") as file:
        file.seek(record * 123 + 7)
        byte = file.read(1)[0]
        file.seek(record * 123 + 7)
        file.write(bytes([byte ^ 0x40]))
    assert catalogue.search(truth["i123"][None], k=1)[0][0].id == "i123"
    assert "damaged at vector 123" in caplog.text
    assert catalogue.stats().snapshot_kind is None
    assert recall(catalogue, truth, QUERIES) == 1.0
    catalogue.compact()
    assert catalogue.stats().snapshot_items == 403


def test_truth_is_what_a_loop_finds(tmp_path):
    vectors = clustered(70)
    vectors[50] = vectors[3]
    blobs = [(number, vector.astype("<f2").tobytes()) for number, vector in enumerate(vectors)]
    write_vectors(tmp_path / "v", blobs)
    truth = exact_truth(VectorFile(tmp_path / "v", 70, DIM), num_queries=70, depth=10, seed=0)
    assert truth.positions_Q.tolist() == list(range(70))
    for query in range(70):
        cosines = {other: float(vectors[other] @ vectors[query]) for other in range(70) if other != query}
        expected = sorted(cosines.values(), reverse=True)[:10]
        assert truth.cosines_QT[query][:10] == pytest.approx(expected, abs=2e-3)
        assert query not in truth.neighbours_QT[query]
    assert truth.neighbours_QT[3][0] == 50


def test_an_update_hides_what_the_snapshot_holds_of_it(catalogue):
    catalogue.wish(IndexWishes(faiss="IVF4,SQ8"))
    truth = put_vectors(catalogue, clustered(300))
    catalogue.compact()
    fresh = clustered(300, seed=77)
    catalogue.put([item_of(f"i{number}", fresh[number]) for number in range(150)])
    truth |= {f"i{number}": fresh[number] for number in range(150)}
    assert recall(catalogue, truth, QUERIES) >= 0.95
    assert best_cosines(truth, fresh[7], 1)[0] == pytest.approx(
        catalogue.search(fresh[7][None], k=1)[0][0].score, abs=2e-3
    )


@pytest.mark.parametrize("factory", ["IVF8,SQ8", "HNSW16,SQ8"])
def test_a_filter_over_an_approximate_index(catalogue, factory):
    """Among items of the snapshot and of the tail, some removed, at shares of a half, a tenth and a handful."""
    vectors = clustered(1500, seed=3)

    def put(first, last):
        catalogue.put(
            [
                replace(item_of(f"i{n}", vectors[n]), metadata={"even": n % 2, "tenth": n % 10})
                for n in range(first, last)
            ]
        )

    catalogue.wish(IndexWishes(faiss=factory))
    put(0, 1400)
    catalogue.compact()
    put(1400, 1500)
    catalogue.delete([f"i{n}" for n in range(0, 1500, 7)])
    there = [n for n in range(1500) if n % 7]
    shares = {
        "even == 0": [n for n in there if n % 2 == 0],
        "tenth == 3": [n for n in there if n % 10 == 3],
        'id in ("i1", "i2", "i7", "i1499")': [1, 2, 1499],
    }
    for text, wanted in shares.items():
        hits = total = 0
        for query in QUERIES[:20]:
            matches = catalogue.search(query[None], k=10, filter=text)[0]
            best = best_cosines({f"i{n}": vectors[n] for n in wanted}, query, 10)
            assert {match.id for match in matches} <= {f"i{n}" for n in wanted}
            assert len(matches) == len(best)
            hits += sum(match.score >= best[-1] - 2e-3 for match in matches)
            total += len(best)
        assert hits / total >= 0.9, text


@pytest.mark.parametrize("factory", ["HNSW16,SQ8", "HNSW8", "PCA12,HNSW16_SQ8", "HNSW16_SQ8,RFlat", "IVF8,SQ8"])
def test_a_filter_finds_what_lies_far_from_the_query(catalogue, factory, monkeypatch):
    """More items than a walk through a graph may look at, and those let through are of another cluster."""
    monkeypatch.setattr(ann_search, "MAX_EF", 1024)
    monkeypatch.setattr(snapshot_build, "MEASURED_QUERIES", 20)
    for depth in ann_tuning.NUM_QUERIES:
        monkeypatch.setitem(ann_tuning.NUM_QUERIES, depth, 20)
    vectors = clustered(3000)
    wanted_N = vectors @ vectors[0] > 0.6
    truth = {f"i{n}": vector for n, vector in enumerate(vectors) if wanted_N[n]}
    assert len(truth) > snapshot.FEW
    catalogue.wish(IndexWishes(faiss=factory))
    catalogue.put(
        [replace(item_of(f"i{n}", vectors[n]), metadata={"wanted": int(wanted_N[n])}) for n in range(len(vectors))]
    )
    catalogue.compact()
    hits = 0
    for query in QUERIES[:20]:
        matches = catalogue.search(query[None], k=10, filter="wanted == 1")[0]
        assert len(matches) == 10
        hits += sum(match.score >= best_cosines(truth, query, 10)[-1] - 2e-3 for match in matches)
    assert hits >= 0.95 * 10 * 20
