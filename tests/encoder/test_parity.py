"""The parity gate: what it measures, by hand-made answers, and what it refuses."""

import json

import numpy as np
import pytest

from encoder.bundle import Bundle
from encoder.errors import BundleCorruptError, ParityError, UndecodablePictureError, UnsupportedFormatError
from encoder.golden import Reference, golden_document, load_golden
from encoder.golden_pictures import draw_golden_pictures
from encoder.image_encoder import Encoded, ImageEncoder
from encoder.parity import (
    TOLERANCES,
    Tolerance,
    encoder_embedder,
    measure_parity,
    measured_tolerance,
    require_parity,
)
from encoder.preprocessing import decode_picture

UNIT = np.array([0.6, 0.8], np.float32)


def reference(name, embedding=UNIT, attention=None):
    return Reference(name, name.encode(), np.asarray(embedding, np.float32), attention)


def answers(**embeddings):
    """An embedder that knows its pictures by their bytes."""

    def embed(pictures, attention):
        return [
            answer if isinstance(answer := embeddings[picture.decode()], Exception)
            else Encoded(np.array([answer], np.float32), np.array([[0.25, 0.75]], np.float32) if attention else None)
            for picture in pictures
        ]  # fmt: skip

    return embed


def test_golden_pictures_are_of_every_kind_and_decode():
    pictures = draw_golden_pictures()
    assert pictures == draw_golden_pictures()
    decoded = {name: decode_picture(data) for name, data in pictures.items()}
    assert all(picture.mode == "RGB" for picture in decoded.values())
    assert {name.rpartition(".")[2] for name in pictures} >= {"jpg", "png", "webp", "tif", "gif", "bmp"}
    assert decoded["orientation-6.jpg"].size == decoded["baseline.jpg"].size[::-1]


def test_what_is_measured_by_hand():
    turned = np.array([0.8, 0.6], np.float32)  # cosine 0.96, values off by 0.2
    embed = answers(a=UNIT, b=turned, c=UNIT)
    references = [reference("a"), reference("b"), reference("c", attention=np.array([0.5, 0.5], np.float32))]
    parity = measure_parity(embed, references, batch_sizes=(1, 2))
    assert parity.min_cosine == pytest.approx(0.96)
    assert parity.mean_cosine == pytest.approx((1 + 0.96 + 1) / 3)
    assert parity.max_difference == pytest.approx(0.2)
    assert parity.max_attention_difference == pytest.approx(0.25)
    assert (parity.num_pictures, parity.worst, parity.skipped) == (3, "b", ())
    assert parity.figures()["max_difference"] == pytest.approx(0.2)
    assert "worst" not in parity.figures()


def test_every_batch_size_is_asked():
    sizes = []

    def embed(pictures, _attention):
        sizes.append(len(pictures))
        return [Encoded(UNIT[None], None) for _ in pictures]

    measure_parity(embed, [reference(str(number)) for number in range(5)], batch_sizes=(1, 3))
    assert sizes == [1, 1, 1, 1, 1, 3, 2]


def test_a_format_that_this_machine_lacks_is_skipped_and_named():
    embed = answers(a=UNIT, b=UnsupportedFormatError("no AVIF here"))
    parity = measure_parity(embed, [reference("a"), reference("b")])
    assert (parity.num_pictures, parity.skipped) == (1, ("b",))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (UndecodablePictureError("cut short"), "picture a got no embedding: cut short"),
        (np.array([np.nan, 0]), "picture a holds numbers that are not finite"),
    ],
)
def test_no_answer_is_no_agreement(answer, message):
    with pytest.raises(ParityError, match=message):
        measure_parity(answers(a=answer), [reference("a")])


def test_nothing_to_compare_is_no_agreement():
    with pytest.raises(ParityError, match="no picture to compare on"):
        measure_parity(answers(), [])


def test_beyond_the_tolerance():
    parity = measure_parity(answers(a=[0.8, 0.6]), [reference("a")])
    require_parity(parity, Tolerance(0.95, 0.3), "x")
    for tolerance in (Tolerance(0.97, 0.3), Tolerance(0.95, 0.1)):
        with pytest.raises(ParityError, match=r"x disagrees .*0\.960000 \(picture a"):
            require_parity(parity, tolerance, "x")
    require_parity(parity, measured_tolerance(parity.figures()), "x")


def test_golden_json_comes_back_as_it_was(tmp_path):
    references = [reference("a", attention=np.array([0.1, 0.9], np.float32)), reference("b")]
    (tmp_path / "golden.json").write_text(golden_document(references))
    for wrote, read in zip(references, load_golden(tmp_path), strict=True):
        assert (read.name, read.picture) == (wrote.name, wrote.picture)
        np.testing.assert_array_equal(read.embedding_D, wrote.embedding_D)
    assert load_golden(tmp_path)[1].attention_P is None


@pytest.mark.parametrize("content", ["", "{}", "[]", json.dumps({"pictures": [{"name": "a"}]}), '{"pictures": [1]}'])
def test_a_golden_json_that_is_none(tmp_path, content):
    (tmp_path / "golden.json").write_text(content)
    with pytest.raises(BundleCorruptError, match=r"golden\.json cannot be read"):
        load_golden(tmp_path)


def test_red_and_blue_exchanged_is_found(tiny_bundle):
    """The gate's purpose: the same network behind another preprocessing."""
    encoder = ImageEncoder(Bundle.open(tiny_bundle))
    pictures = draw_golden_pictures()
    references = [
        Reference(name, data, encoded.embedding_BD[0], None)
        for (name, data), encoded in zip(
            pictures.items(), encoder.encode_pictures(list(pictures.values())), strict=True
        )
    ]
    require_parity(measure_parity(encoder_embedder(encoder), references), TOLERANCES["fp32"], "itself")

    def exchanged(files, _attention):
        side = encoder.manifest.preprocessing.image_size
        pixels = [np.asarray(decode_picture(data).resize((side, side)))[:, :, ::-1] for data in files]
        return [encoder.encode(np.ascontiguousarray(one[None])) for one in pixels]

    with pytest.raises(ParityError, match="disagrees"):
        require_parity(measure_parity(exchanged, references), TOLERANCES["fp32"], "exchanged")
