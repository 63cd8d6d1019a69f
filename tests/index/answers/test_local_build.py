"""Local features of a real catalogue: made, kept through every kind of write, looked through and repaired."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from served_catalogue import COLOURS, drawn_picture, encoded

from encoder.bundle import Bundle
from encoder.errors import ConfigError
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess
from index.answers.local_build import make_local_features
from index.answers.local_features import pivotal_patches_of
from index.answers.local_search import plan_local
from index.answers.rerank_fit import RerankFit, fit
from index.build import build
from index.sources.reading import read_source
from index.sqlite_catalogue import SqliteCatalogue
from index.verification import verify
from index.verification_repair import Means

BUNDLE = Path(__file__).parents[3] / "bundles" / "demo"


@pytest.fixture(scope="module")
def encoder():
    return ImageEncoder(Bundle.open(BUNDLE), num_threads=1)


@pytest.fixture
def photos(tmp_path):
    for row, (label, colour) in enumerate(list(COLOURS.items())[:2]):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(4):
            path = tmp_path / "photos" / label / f"{number}.png"
            path.write_bytes(encoded(drawn_picture(colour, 10 * row + number)))
    return tmp_path / "photos"


@pytest.fixture
def catalogue(tmp_path, photos, encoder):
    with SqliteCatalogue.create(tmp_path / "catalogue", Bundle.open(BUNDLE), ranks=("species", "genus")) as made:
        build(made, encoder, read_source(photos, ("species", "genus")), quiet=True)
        yield made


def features(catalogue, item_id):
    found = catalogue.local.read([item_id])
    return found[item_id].features_PK if item_id in found else None


def expected(catalogue, encoder, data):
    pixels = preprocess(decode_picture(data, min_side_wanted=96), encoder.manifest.preprocessing)
    patches = pivotal_patches_of(encoder.encode(pixels[None], attention=True, tokens=True))[0]
    return catalogue.local.projection().project(patches).features_PK


def alike(one, other):
    return float((one * other).sum(axis=1).min()) > 0.99


def test_a_catalogue_without_them_has_no_table_and_says_what_to_do(catalogue):
    tables = sqlite3.connect(catalogue.path / "catalogue.sqlite").execute("SELECT name FROM sqlite_master").fetchall()
    assert not any(name.startswith("local") for (name,) in tables)
    assert (catalogue.local.count(), catalogue.local.projection(), catalogue.local.fit()) == (0, None, None)
    assert plan_local(catalogue, rerank=None, explains=False, has_patches=True) is None
    for asked in ({"rerank": True, "explains": False}, {"rerank": None, "explains": True}):
        with pytest.raises(ConfigError, match="lodisc index local"):
            plan_local(catalogue, **asked, has_patches=True)
    with pytest.raises(ConfigError, match="lodisc index local"):
        fit(catalogue, quiet=True)


def test_an_encoder_without_patch_features_is_refused_in_one_line(tmp_path, tiny_bundle):
    with (
        SqliteCatalogue.create(tmp_path / "tiny", Bundle.open(tiny_bundle)) as tiny,
        pytest.raises(ConfigError, match="gives no patch features"),
    ):
        make_local_features(tiny, ImageEncoder(Bundle.open(tiny_bundle)), quiet=True)


def test_they_are_those_of_the_pictures(catalogue, photos, encoder):
    report = make_local_features(catalogue, encoder, quiet=True)
    assert (report.made, report.of_thumbnails, report.failed, report.learned) == (8, 0, 0, True)
    for path in sorted(photos.rglob("*.png")):
        item_id = path.relative_to(photos).as_posix()
        assert alike(features(catalogue, item_id), expected(catalogue, encoder, path.read_bytes()))
    again = make_local_features(catalogue, encoder, quiet=True)
    assert (again.made, again.learned) == (0, False)


def test_only_what_lacks_them_is_made_and_a_lost_picture_is_stood_in_for(catalogue, photos, encoder):
    make_local_features(catalogue, encoder, quiet=True)
    stamp = catalogue.local.projection().stamp
    connection = sqlite3.connect(catalogue.path / "catalogue.sqlite")
    connection.execute("DELETE FROM local WHERE row <= 3")
    connection.commit()
    connection.close()
    (photos / "Rubra/pink rose/0.png").unlink()
    report = make_local_features(catalogue, encoder, quiet=True)
    assert (report.made, report.of_thumbnails, report.failed, report.learned) == (3, 1, 0, False)
    assert "Rubra/pink rose/0.png" in report.first_reason
    assert catalogue.local.count() == 8
    assert catalogue.local.projection().stamp == stamp


def test_every_kind_of_write_keeps_them_right(catalogue, photos, encoder, tmp_path):
    make_local_features(catalogue, encoder, quiet=True)
    before = features(catalogue, "Rubra/rosso/1.png")
    # A new picture, another in an old one's place, and a copy, by a bulk run.
    new = encoded(drawn_picture((10, 200, 10), 77))
    (photos / "Rubra/rosso/new.png").write_bytes(new)
    (photos / "Rubra/rosso/2.png").write_bytes(encoded(drawn_picture((9, 9, 200), 78)))
    (photos / "Rubra/rosso/copy.png").write_bytes((photos / "Rubra/rosso/1.png").read_bytes())
    build(catalogue, encoder, read_source(photos, ("species", "genus")), quiet=True)
    assert catalogue.local.count() == catalogue.count() == 10
    assert alike(features(catalogue, "Rubra/rosso/new.png"), expected(catalogue, encoder, new))
    changed = (photos / "Rubra/rosso/2.png").read_bytes()
    assert alike(features(catalogue, "Rubra/rosso/2.png"), expected(catalogue, encoder, changed))
    np.testing.assert_array_equal(features(catalogue, "Rubra/rosso/copy.png"), before)
    # New labels only: the item gets another row and keeps its features.
    (tmp_path / "table.csv").write_text(f"path,id,label\n{photos / 'Rubra/rosso/1.png'},Rubra/rosso/1.png,other\n")
    build(catalogue, encoder, read_source(tmp_path / "table.csv", ("label",)), quiet=True)
    np.testing.assert_array_equal(features(catalogue, "Rubra/rosso/1.png"), before)
    # Gone with the item, and none are left over; also where a program deletes that does not know of them.
    catalogue.delete(["Rubra/rosso/1.png"])
    assert features(catalogue, "Rubra/rosso/1.png") is None
    connection = sqlite3.connect(catalogue.path / "catalogue.sqlite")
    connection.execute("UPDATE item SET deleted = 1 WHERE id = 'Rubra/rosso/3.png'")
    connection.commit()
    live, kept = (connection.execute(f"SELECT COUNT(*) FROM {what}").fetchone()[0]
                  for what in ("item WHERE deleted = 0", "local"))  # fmt: skip
    connection.close()
    assert live == kept == 8


def test_an_item_that_a_repair_moves_keeps_them(catalogue, encoder):
    make_local_features(catalogue, encoder, quiet=True)
    before = {item_id: features(catalogue, item_id) for item_id in catalogue.ids()}
    connection = sqlite3.connect(catalogue.path / "catalogue.sqlite")
    connection.execute("DELETE FROM change WHERE row = 2")
    connection.execute("UPDATE item SET metadata = '{' WHERE row = 3")
    connection.execute("UPDATE embedding SET vector = zeroblob(length(vector)) WHERE row = 4")
    connection.commit()
    connection.close()
    assert verify(catalogue.path, means=Means(), mend=True, tell=lambda part, done, total: None).clean
    assert {picture.row for picture in catalogue.local.sample(8)} == {1, 5, 6, 7, 8, 9, 10, 11}
    for item_id, features_PK in before.items():
        np.testing.assert_array_equal(features(catalogue, item_id), features_PK)


def test_features_of_another_projection_are_not_kept(catalogue, encoder):
    make_local_features(catalogue, encoder, quiet=True)
    connection = sqlite3.connect(catalogue.path / "catalogue.sqlite")
    row, blob = connection.execute("SELECT row, features FROM local LIMIT 1").fetchone()
    connection.close()
    assert catalogue.local.put([(row, b"\0\0\0\0" + blob[4:])]) == 0
    assert catalogue.local.put([(row, blob)]) == 1
    assert catalogue.local.put([(9999, blob)]) == 0


def test_a_fit_is_kept_and_read_again(catalogue, encoder):
    make_local_features(catalogue, encoder, quiet=True)
    found = fit(catalogue, quiet=True)
    assert (found.rank, found.num_queries) == ("species", 8)
    assert found == RerankFit.of(catalogue.local)
    assert found.mean_average_precision.gain.low <= found.mean_average_precision.gain.high
    # These pictures are found by their colour alone, so there is nothing to gain: off unless asked for.
    assert not found.by_default
    assert plan_local(catalogue, rerank=None, explains=False, has_patches=True) is None
    plan = plan_local(catalogue, rerank=True, explains=False, has_patches=True)
    assert plan.weight == found.weight > 0
    assert plan.num_candidates(5) == 100
    with pytest.raises(ConfigError, match="an embedding has no patches"):
        plan_local(catalogue, rerank=True, explains=False, has_patches=False)


def test_without_labels_nothing_is_fitted(tmp_path, photos, encoder):
    with SqliteCatalogue.create(tmp_path / "bare", Bundle.open(BUNDLE)) as bare:
        (tmp_path / "bare.csv").write_text("path\n" + "\n".join(str(path) for path in sorted(photos.rglob("*.png"))))
        build(bare, encoder, read_source(tmp_path / "bare.csv", ()), quiet=True)
        make_local_features(bare, encoder, quiet=True)
        found = fit(bare, quiet=True)
    assert (found.rank, found.rank_1, found.by_default) == (None, None, False)
    assert "no two items share a label" in found.text()
