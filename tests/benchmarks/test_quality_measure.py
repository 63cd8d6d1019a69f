"""Protocols of the quality table on drawn pictures: what is asked of what, and re-ranking against a plain loop."""

import numpy as np
import pytest
from pictures import write_picture_folder
from quality_embedding import Embedded
from quality_measure import FIGURES, figures, measure
from quality_methods import of_bundle
from quality_pictures import PhotographSet
from quality_rerank import measure_reranked

from encoder.bundle import Bundle
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess, read_picture
from index.answers.late_interaction import interact
from index.answers.local_features import PivotalPatches
from index.answers.patch_projection import learn_projection
from training.embedding import serving_preprocessing


def open_set(folder, name="flowers17"):
    for split, per_label in (("train", 5), ("test", 3)):
        if not (folder / name / split).is_dir():
            write_picture_folder(folder / name / split, per_label=per_label)
    return PhotographSet.open(folder / name, folder / "cache", 1)


def test_retrieval_is_leave_one_out_in_test_and_learning_is_on_train(tmp_path):
    each = open_set(tmp_path)
    # In test each picture lies with those of its label; in train the labels have changed places.
    test = np.eye(3, dtype=np.float32)[[sorted(set(each.test.labels)).index(label) for label in each.test.labels]]
    train = np.roll(
        np.eye(3, dtype=np.float32)[[sorted(set(each.train.labels)).index(label) for label in each.train.labels]], 1, 1
    )
    found = measure(each, test, train)
    assert tuple(found) == FIGURES
    means = {name: values.mean() for name, values in found.items()}
    assert means == {"rank_1": 1.0, "rank_5": 1.0, "mAP": 1.0, "knn_top_1": 0.0, "linear_top_1": 0.0}
    told = figures(found)
    assert told["rank_1"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_grocery_searches_the_train_pictures(tmp_path):
    each = open_set(tmp_path, "grocery")
    rows = [sorted(set(each.test.labels)).index(label) for label in each.test.labels]
    test, train = np.eye(3, dtype=np.float32)[rows], np.zeros((len(each.train), 3), np.float32)
    train[4] = (1, 1, 1)  # one picture is nearest to all, the others are tied and keep their order
    found = measure(each, test, train)
    assert each.protocol == "test queries, train gallery"
    assert found["rank_1"].tolist() == [float(label == each.train.labels[4]) for label in each.test.labels]


def test_pictures_are_those_of_the_server_and_are_decoded_once(tmp_path, monkeypatch):
    each = open_set(tmp_path)
    preprocessing = serving_preprocessing(32)
    first = np.array(each.test.pixels(preprocessing))
    expected = [preprocess(decode_picture(read_picture(path)), preprocessing) for path in each.test.paths]
    assert np.array_equal(first, expected)
    monkeypatch.setattr("quality_pictures.decode_picture", None)
    assert np.array_equal(open_set(tmp_path).test.pixels(preprocessing), first)


def test_hand_made_rows_have_their_lengths(tmp_path):
    each = open_set(tmp_path)
    assert each.test.histograms().shape == (9, 216)
    assert each.test.gradients_and_color().shape == (9, 11 * 11 * 36 + 216)


def embedded(generator, num):
    embedding = generator.normal(size=(num, 6)).astype(np.float32)
    patches = []
    for _ in range(num):
        scores = generator.dirichlet(np.ones(9)).astype(np.float32)
        positions = np.argsort(-scores)[:4]
        patches.append(PivotalPatches(positions, generator.normal(size=(4, 8)).astype(np.float32), scores))
    return Embedded(embedding, patches)


@pytest.mark.parametrize("name", ["flowers17", "grocery"])
def test_reranked_equals_a_loop(tmp_path, name):
    each = open_set(tmp_path, name)
    generator = np.random.default_rng(0)
    test, train = embedded(generator, len(each.test)), embedded(generator, len(each.train))
    found, weight = measure_reranked(each, test, train)
    projection = learn_projection(train.patches)
    queries = list(zip(test.embedding_ND, test.patches, each.test.labels, strict=True))
    gallery = list(zip(train.embedding_ND, train.patches, each.train.labels, strict=True))
    for row, (embedding, patches, label) in enumerate(queries):
        others = gallery if name == "grocery" else queries[:row] + queries[row + 1 :]
        scored = []
        for other, other_patches, other_label in others:
            cosine = embedding @ other / np.linalg.norm(embedding) / np.linalg.norm(other)
            local = interact(projection.project(patches), [projection.project(other_patches)]).score_C[0]
            scored.append((-(cosine + weight * local) / (1 + weight), other_label == label))
        right = [is_right for _, is_right in sorted(scored)]
        hits = [place for place, is_right in enumerate(right) if is_right]
        precision = np.mean([(number + 1) / (place + 1) for number, place in enumerate(hits)])
        assert found["mAP"][row] == pytest.approx(precision)
        assert found["rank_1"][row] == right[0]
        assert found["rank_5"][row] == any(right[:5])


def test_a_bundle_is_measured_as_it_is_served(tmp_path, tiny_bundle):
    each = open_set(tmp_path)
    (name, outcomes, about), *reranked = of_bundle(each, tiny_bundle, 1)
    bundle = Bundle.open(tiny_bundle)
    assert (name, about["bundle"]) == (f"bundle_{bundle.manifest.name}", bundle.manifest.id)
    encoder = ImageEncoder(bundle)
    pixels = [split.pixels(bundle.manifest.preprocessing) for split in (each.test, each.train)]
    expected = measure(each, *(encoder.encode(np.array(one)).embedding_BD for one in pixels))
    assert {key: values.tolist() for key, values in outcomes.items()} == {
        key: values.tolist() for key, values in expected.items()
    }
    assert reranked == []  # it gives no patches
