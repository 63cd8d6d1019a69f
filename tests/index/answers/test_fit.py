"""The fit against brute force: neighbours, votes, likelihoods, and what a search answers by it."""

from dataclasses import replace

import numpy as np
import pytest
from labelled_catalogue import drawn_pictures, fill, new_item

from encoder.errors import ConfigError
from index import exact_ranking, vector_file
from index.answers import fit_unknown
from index.answers import leave_one_out as asking
from index.answers.asking import ask
from index.answers.calibrate import calibrate_catalogue
from index.answers.classes import read_classes
from index.answers.fit_ranks import log_odds_each
from index.answers.fit_vote import EXPONENTS, KS, MIXTURES, VoteSettings, bulk_vote, choose_settings
from index.answers.lineages import find_homonyms
from index.answers.reliability import calibration_error
from index.answers.shares import log_odds, photo_vote
from index.answers.vote import predict
from index.evaluation_items import NONE, read_items
from index.items import Match
from index.sqlite_catalogue import SqliteCatalogue


@pytest.fixture
def opened(tmp_path, tiny_bundle):
    """150 items, of which some have no species, one is a copy, one is alone; with a group of three each."""
    vectors, labels = drawn_pictures(150)
    for number in range(0, 150, 11):
        del labels[number]["species"]
    labels[149] = {"species": "only", "genus": "G0"}
    metadata = [{"specimen": number // 3} for number in range(150)]
    with SqliteCatalogue.open(
        fill(tmp_path / "catalogue", tiny_bundle, vectors, labels, metadata=metadata)
    ) as catalogue:
        catalogue.put([new_item("copy", vectors[1], labels[1], content="i1")])
        yield catalogue


@pytest.fixture
def in_small_pieces(monkeypatch):
    monkeypatch.setattr(exact_ranking, "MAX_GROUP", 7)
    monkeypatch.setattr(asking, "MAX_GROUP", 7)
    monkeypatch.setattr(vector_file, "CHUNK", 13)


def asked(catalogue, folder, *, group=None, k=20):
    items = read_items(catalogue, None, folder, group)
    classes = read_classes(items, catalogue.ranks)
    return items, classes, asking.leave_one_out(items, classes, np.arange(len(items.ids)), k)


@pytest.mark.parametrize("group", [None, "specimen"])
def test_neighbours_are_all_others_but_copies_and_the_group(opened, tmp_path, in_small_pieces, group):
    items, _classes, questions = asked(opened, tmp_path, group=group)
    vectors = items.vectors.read(np.arange(len(items.ids)))
    records = [record.item for record in opened.records()]
    for number, item in enumerate(records):
        others = [
            place
            for place, other in enumerate(records)
            if place != number
            and other.id != "copy"
            and (group is None or other.metadata.get(group, place) != item.metadata.get(group, number))
        ]
        others.sort(key=lambda place: -float(vectors[number] @ vectors[place]))
        assert questions.known.positions_QK[number].tolist() == others[:20]
        finest = next(iter(item.labels))
        strangers = [place for place in others if records[place].labels.get(finest) != item.labels[finest]]
        if item.id != "copy":
            assert questions.strangers.positions_QK[number].tolist() == strangers[:20]
        for rank in ("species", "genus"):
            answerable = any(records[place].labels.get(rank) == item.labels.get(rank) for place in others)
            wanted = rank in item.labels and item.id != "copy" and answerable
            assert (questions.own[rank][number] != NONE) == wanted
    assert questions.num_alone["species"] >= 1
    assert questions.answerable().own["genus"][questions.answerable().own["species"] == NONE].size != 0


def test_a_bulk_vote_is_that_of_a_search(opened, tmp_path):
    _, classes, questions = asked(opened, tmp_path)
    records = [record.item for record in opened.records()]
    calibration = calibrate_catalogue(opened, sample=0, quiet=True)
    for settings in (VoteSettings(8, 0.05, 0.0, 0.4), VoteSettings(20, 0.3, 0.0, 0.1)):
        fields = {**vars(calibration), **vars(settings)}
        as_fitted = type(calibration)(**fields)
        for rank in classes.ranks:
            bulk = bulk_vote(classes, questions, questions.known, rank, settings)
            keys = {code: key for key, code in classes.keys[rank].items()}
            for number in range(len(records)):
                matches = [
                    Match(records[place].id, cosine, records[place].labels, {})
                    for place, cosine in zip(
                        questions.known.positions_QK[number].tolist(), questions.known.cosines_QK[number], strict=True
                    )
                ]
                homonyms = find_homonyms([match.labels for match in matches], opened.ranks)
                vote = photo_vote(matches, opened.ranks, homonyms, as_fitted)
                key, share = next(iter(vote.shares[rank].items()))
                assert share == pytest.approx(bulk.share_Q[number])
                assert keys[bulk.top_Q[number]] == key or vote.shares[rank][keys[bulk.top_Q[number]]] == pytest.approx(
                    share
                )
                assert log_odds(share, settings.k) == pytest.approx(log_odds_each(np.array([share]), settings.k)[0])


def test_settings_are_the_likeliest_of_the_grid(opened, tmp_path, monkeypatch):
    monkeypatch.setattr("index.answers.fit_vote.WORTH", 0.0)
    monkeypatch.setattr("index.answers.fit_vote.TEMPERATURES", (0.3, 2.0))
    _, classes, questions = asked(opened, tmp_path)
    questions = questions.answerable()
    found = questions.known
    spread = float(np.median(found.cosines_QK[:, 0] - found.cosines_QK[:, 9]))
    best = {}
    for k in (k for k in KS if k <= 20):
        for factor in (0.3, 2.0):
            for exponent in EXPONENTS:
                total = 0.0
                for rank, codes in classes.codes.items():
                    shares = []
                    for number in range(len(questions.class_Q)):
                        own = questions.own[rank][number]
                        if own == NONE:
                            continue
                        mine = everyone = 0.0
                        for place, cosine in zip(
                            found.positions_QK[number][:k], found.cosines_QK[number][:k], strict=True
                        ):
                            finest = classes.finest_N[place]
                            size = max(1, classes.size_by_finest[finest] - (finest == questions.finest_Q[number]))
                            near = (cosine - found.cosines_QK[number][0]) / (spread * factor)
                            weight = np.exp(near) * size**-exponent
                            if finest != NONE:
                                everyone += weight
                                mine += weight * (codes[place] == own)
                        shares.append(mine / everyone)
                    mixed = [
                        np.sum(np.log((1 - part) * np.array(shares) + part / len(classes.keys[rank])))
                        for part in MIXTURES
                    ]
                    total += max(mixed)
                best[k, spread * factor, exponent] = total
    settings = choose_settings(classes, questions, np.zeros(len(questions.class_Q), np.int64), 1)[0]
    k, temperature, exponent = max(best, key=best.get)
    assert (settings.k, settings.class_exponent) == (k, exponent)
    assert settings.temperature == pytest.approx(temperature)
    assert settings.far_cosine == pytest.approx(np.median(found.cosines_QK[:, k - 1]))


def test_confidences_are_honest_on_new_pictures_and_strangers_score_higher(tmp_path, tiny_bundle):
    vectors, labels = drawn_pictures(900, noise=1.1)
    path = fill(tmp_path / "catalogue", tiny_bundle, vectors, labels)
    asked_vectors, truth = drawn_pictures(900, seed=1, noise=1.1)
    with SqliteCatalogue.open(path) as catalogue:
        calibration = calibrate_catalogue(catalogue, sample=0, quiet=True)
        questions = fill(tmp_path / "questions", tiny_bundle, asked_vectors, truth)
        with SqliteCatalogue.open(questions) as others:
            on_new = calibrate_catalogue(catalogue, questions=others, sample=0, quiet=True)
    for rank, one in calibration.ranks.items():
        assert one.error < 0.05
        assert one.error < one.error_before
        assert one.accuracy == pytest.approx(on_new.ranks[rank].accuracy, abs=0.05)
        assert one.sure_accuracy is None or one.sure_accuracy > calibration.floor
        assert sum(bin_.num for bin_ in one.bins) == one.num_questions == 900
    assert calibration.ranks["genus"].accuracy > calibration.ranks["species"].accuracy > 0.5
    assert calibration.ranks["genus"].coverage > calibration.ranks["species"].coverage
    assert calibration.unknown.auroc > 0.6
    assert on_new.asked == "questions"
    assert [sample for sample in on_new.unknown.curve if sample[0] > 0.5]


def test_confidences_of_several_photographs_are_honest_on_new_pictures(tmp_path, tiny_bundle):
    vectors, labels = drawn_pictures(1000, noise=1.6)
    path = fill(tmp_path / "catalogue", tiny_bundle, vectors, labels)
    asked_vectors, truth = drawn_pictures(700, seed=1, noise=1.6)
    names = np.array([one["species"] for one in truth])
    with SqliteCatalogue.open(path) as catalogue:
        calibration = calibrate_catalogue(catalogue, sample=0, quiet=True)
        alone = replace(calibration, ranks={rank: replace(one, several={}) for rank, one in calibration.ranks.items()})
        for num in (2, 3):
            groups = [
                of_class[start : start + num]
                for of_class in (np.flatnonzero(names == name) for name in np.unique(names))
                for start in range(0, len(of_class) - num + 1, num)
            ]
            found = [ask(catalogue, asked_vectors[group], k=1, calibration=calibration) for group in groups]
            errors = {}
            for how, by in (("several", calibration), ("alone", alone)):
                best = [predict(one.photographs, one.weights, catalogue.ranks, by).ranks[0].labels[0] for one in found]
                right = np.array([one.label == names[group[0]] for one, group in zip(best, groups, strict=True)])
                errors[how] = calibration_error(np.array([one.confidence for one in best]), right)
            assert errors["alone"] > 0.05
            assert errors["several"] < min(0.08, errors["alone"])
    species = calibration.ranks["species"]
    assert sorted(species.several) == [2, 3]
    assert species.accuracy < species.several[2].accuracy < species.several[3].accuracy
    for one in species.several.values():
        assert one.num_questions > 300
        assert one.error < one.error_before
    assert [species.map_of(num) for num in (1, 2, 3, 9)] == [
        species.map, species.several[2].map, species.several[3].map, species.several[3].map
    ]  # fmt: skip


def test_the_false_acceptance_is_measured_on_classes_that_the_threshold_did_not_see(opened, monkeypatch):
    rule = fit_unknown._rule
    seen = []

    def noted(*arguments):
        take = rule(*arguments)

        def threshold(known, strangers):
            seen.append((strangers, take(known, strangers)))
            return seen[-1][1]

        return threshold

    monkeypatch.setattr(fit_unknown, "_rule", noted)
    for wanted in (0.02, 0.3):
        seen.clear()
        unknown = calibrate_catalogue(opened, sample=0, false_acceptance=wanted, quiet=True).unknown
        *by_fold, (scores, threshold) = seen
        assert threshold == unknown.threshold
        assert sum(len(scores) - len(others) for others, _ in by_fold) == len(scores)
        accepted = sum((scores < limit).sum() - (others < limit).sum() for others, limit in by_fold)
        assert unknown.false_acceptance == accepted / len(scores)
        low, high = unknown.false_acceptance_interval
        assert 0 <= low <= unknown.false_acceptance <= high <= 1
        assert unknown.false_acceptance == pytest.approx(wanted, abs=0.15)
        assert unknown.wanted_acceptance == wanted


def test_where_strangers_are_like_the_known_the_verdict_spares_the_known_and_says_how_many_pass(tmp_path, tiny_bundle):
    generator = np.random.default_rng(0)
    cluster, vectors = generator.normal(size=(2, 400, drawn_pictures(1)[0].shape[1])).astype(np.float32)
    vectors[:, 0] += 10  # all near one direction, without any difference between the labels
    vectors[320:], cluster[:, 0] = cluster[320:], -10
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = [{"species": f"s{number % 6}"} for number in range(320)]
    with SqliteCatalogue.open(fill(tmp_path / "like", tiny_bundle, vectors[:320], labels)) as catalogue:
        calibration = calibrate_catalogue(catalogue, sample=0, quiet=True)
        unknown = calibration.unknown
        assert unknown.rejected_at_default > 0.5
        assert unknown.known_rejected < 0.03  # about 1 %
        assert unknown.false_acceptance > 0.9
        for vector in vectors[320:]:
            asked_of = ask(catalogue, vector[None], k=1, calibration=calibration)
            prediction = predict(asked_of.photographs, asked_of.weights, catalogue.ranks, calibration)
            assert (prediction.unknown, prediction.sure) == (True, False)
        wanted = calibrate_catalogue(catalogue, sample=0, false_acceptance=0.05, quiet=True).unknown
        assert wanted.threshold < unknown.threshold


def test_copies_change_no_vote(tmp_path, tiny_bundle):
    vectors, labels = drawn_pictures(90)
    asked_vectors, _ = drawn_pictures(20, seed=1)
    with (
        SqliteCatalogue.open(fill(tmp_path / "once", tiny_bundle, vectors, labels)) as once,
        SqliteCatalogue.open(fill(tmp_path / "often", tiny_bundle, vectors, labels)) as often,
    ):
        for copy in range(4):
            often.put([new_item(f"{copy}/{n}", vectors[n], labels[n], content=f"i{n}") for n in range(len(vectors))])
        calibration = calibrate_catalogue(once, quiet=True)
        for number in range(0, len(asked_vectors), 2):
            for photographs in (asked_vectors[number : number + 1], asked_vectors[number : number + 2]):
                of_once, of_often = (ask(one, photographs, k=1, calibration=calibration) for one in (once, often))
                assert [len(found) for found in of_often.photographs] == [calibration.k] * len(photographs)
                assert of_often.weights == pytest.approx(of_once.weights)
                answers = [
                    predict(one.photographs, one.weights, once.ranks, calibration) for one in (of_once, of_often)
                ]
                assert answers[0].confidence == pytest.approx(answers[1].confidence, abs=1e-6)


def test_a_burst_is_too_sure_of_itself_unless_its_group_is_left_out(tmp_path, tiny_bundle):
    base, labels = drawn_pictures(120, noise=1.0)
    generator = np.random.default_rng(4)
    burst = np.repeat(base, 3, axis=0) + 0.02 * generator.normal(size=(360, base.shape[1]))
    burst = (burst / np.linalg.norm(burst, axis=1, keepdims=True)).astype(np.float32)
    metadata = [{"specimen": f"x{number // 3}"} for number in range(360)]
    path = fill(
        tmp_path / "catalogue", tiny_bundle, burst, [one for one in labels for _ in range(3)], metadata=metadata
    )
    with SqliteCatalogue.open(path) as catalogue:
        alone = calibrate_catalogue(catalogue, sample=0, quiet=True).ranks["species"]
        grouped = calibrate_catalogue(catalogue, sample=0, group="specimen", quiet=True).ranks["species"]
        with pytest.raises(ConfigError, match="no item of .* has that in its metadata"):
            calibrate_catalogue(catalogue, group="nothing", quiet=True)
    assert alone.accuracy > 0.95
    assert grouped.accuracy < 0.8
    assert grouped.error < 0.1


def test_homonyms_are_classes_of_their_own(tmp_path, tiny_bundle):
    vectors, labels = drawn_pictures(120)
    names = [{**one, "species": "alba" if one["species"] in ("s0", "s3") else one["species"]} for one in labels]
    with SqliteCatalogue.open(fill(tmp_path / "catalogue", tiny_bundle, vectors, names)) as catalogue:
        items = read_items(catalogue, None, tmp_path)
        classes = read_classes(items, catalogue.ranks)
        whole = calibrate_catalogue(catalogue, sample=0, quiet=True).ranks["species"].accuracy
    assert {key for key in classes.keys["species"] if key[0] == "alba"} == {("alba", "G0"), ("alba", "G1")}
    assert classes.sizes["species"]["alba"] == sum(one["species"] == "alba" for one in names)
    assert classes.codes_of({"species": "alba", "genus": "G1"})["species"] == classes.keys["species"]["alba", "G1"]
    assert classes.codes_of({"species": "nothing", "genus": "G1"}) == {"genus": classes.keys["genus"]["G1", None]}
    assert whole > 0.5


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([{}] * 30, "no item of .* has a label"),
        ([{"species": "x"}], "has a single item"),
        ([{"species": "x"}] * 30, "have the same label; there is nothing to tell apart"),
        ([{"species": f"s{number}"} for number in range(30)], "0 pictures .* at least 40 such are needed"),
        ([{"species": f"s{number // 2}"} for number in range(10)], "10 pictures .* at least 40 such are needed"),
        ([], "no item of .* has a label"),
    ],
)
def test_what_cannot_be_calibrated_says_why(tmp_path, tiny_bundle, labels, message):
    vectors = drawn_pictures(30)[0][: len(labels)]
    path = fill(tmp_path / "catalogue", tiny_bundle, vectors, labels)
    with SqliteCatalogue.open(path) as catalogue, pytest.raises(ConfigError, match=message):
        calibrate_catalogue(catalogue, quiet=True)


@pytest.mark.parametrize("num_items", [2, 3, 5, 6])
def test_new_pictures_calibrate_a_catalogue_of_few_items(tmp_path, tiny_bundle, num_items):
    centres, _ = drawn_pictures(num_items)
    rng = np.random.default_rng(0)
    numbers = np.arange(60) % num_items
    vectors = centres[numbers] + 0.1 * rng.normal(size=(60, centres.shape[1]))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    path = fill(tmp_path / "catalogue", tiny_bundle, centres, [{"species": f"s{n}"} for n in range(num_items)])
    asked = fill(tmp_path / "questions", tiny_bundle, vectors, [{"species": f"s{n}"} for n in numbers.tolist()])
    with SqliteCatalogue.open(path) as catalogue, SqliteCatalogue.open(asked) as questions:
        calibration = calibrate_catalogue(catalogue, questions=questions, quiet=True)
    assert calibration.k == 5
    assert calibration.ranks["species"].accuracy == 1
    assert calibration.ranks["species"].num_questions == 60


def test_one_item_a_species_leaves_the_genus_to_answer(tmp_path, tiny_bundle):
    vectors, labels = drawn_pictures(60)
    alone = [{"species": f"only {number}", "genus": one["genus"]} for number, one in enumerate(labels)]
    with SqliteCatalogue.open(fill(tmp_path / "catalogue", tiny_bundle, vectors, alone)) as catalogue:
        calibration = calibrate_catalogue(catalogue, quiet=True)
    assert list(calibration.ranks) == ["genus"]


def test_two_labels_have_confidences_and_no_unknown_score(tmp_path, tiny_bundle):
    vectors, labels = drawn_pictures(90, num_species=3)
    two = [{"species": "a" if one["species"] == "s0" else "b"} for one in labels]
    with SqliteCatalogue.open(fill(tmp_path / "catalogue", tiny_bundle, vectors, two)) as catalogue:
        calibration = calibrate_catalogue(catalogue, quiet=True)
    assert calibration.unknown is None
    assert calibration.ranks["species"].num_questions == 90


def test_a_sample_is_drawn_by_its_seed(opened):
    one, again, other = (calibrate_catalogue(opened, sample=100, seed=seed, quiet=True) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert one.num_questions <= 100
