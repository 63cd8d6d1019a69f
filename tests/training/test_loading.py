"""Batches: every picture at most once an epoch, the same ones whoever asks, shared without overlap."""

import pytest
import torch
from pictures import write_picture_folder

from encoder.errors import ConfigError, SourceError
from training.distributed import World
from training.layouts import list_split
from training.loading import batches, count_steps
from training.pictures import open_picture_store


@pytest.fixture
def store(tmp_path):
    photos = write_picture_folder(tmp_path / "photos", per_label=5)
    return open_picture_store(list_split(photos, "folder", "train", labelled=False), photos, tmp_path / "cache", 32)


def rows(store, steps, world=World()):  # noqa: B008 (frozen)
    """Which pictures each step got, found by their pixels."""
    number_of = {store.pixels_NQQ3[row].tobytes(): row for row in range(len(store))}
    found = []
    for batch in batches(store, steps, batch_size=4, seed=3, world=world, device=torch.device("cpu")):
        found.append([number_of[pixels.numpy().tobytes()] for pixels in batch.pixels_BQQ3])
        assert batch.aspect_B.tolist() == [store.aspect_N[row] for row in found[-1]]
        assert batch.wait_s >= 0
    return found


def test_an_epoch_has_no_picture_twice_and_the_next_is_another_order(store):
    first, second = rows(store, range(0, 3)), rows(store, range(3, 6))  # noqa: PIE808 (epochs side by side)
    assert len({row for batch in first for row in batch}) == 12
    assert len({row for batch in second for row in batch}) == 12
    assert first != second


def test_where_one_begins_does_not_matter(store):
    assert rows(store, range(2, 6)) == rows(store, range(6))[2:]


def test_processes_share_the_batch_in_the_order_of_their_ranks(store):
    whole = rows(store, range(4))
    parts = [rows(store, range(4), World(rank, 2, rank)) for rank in range(2)]
    assert [one + other for one, other in zip(*parts, strict=True)] == whole


def test_too_few_pictures_and_too_large_a_batch(tmp_path):
    assert count_steps(11, 4, tmp_path) == 2
    with pytest.raises(ConfigError, match="--batch-size 11 or less"):
        count_steps(11, 12, tmp_path)
    with pytest.raises(SourceError, match="at least 2"):
        count_steps(1, 12, tmp_path)


def test_repeats_lie_side_by_side_and_an_epoch_still_has_every_picture_once(store):
    def rows_of(world):
        number_of = {store.pixels_NQQ3[row].tobytes(): row for row in range(len(store))}
        options = {"batch_size": 6, "seed": 3, "device": torch.device("cpu"), "repeats": 3}
        return [
            [number_of[pixels.numpy().tobytes()] for pixels in batch.pixels_BQQ3]
            for batch in batches(store, range(7), world=world, **options)
        ]

    whole = rows_of(World())
    assert all(batch[:3] == batch[:1] * 3 and batch[3:] == batch[3:4] * 3 for batch in whole)
    assert len({row for batch in whole for row in batch}) == 14  # 7 steps of 2 of the 15 pictures
    parts = [rows_of(World(rank, 2, rank)) for rank in range(2)]
    assert [one + other for one, other in zip(*parts, strict=True)] == whole


def test_steps_and_faults_with_repeats(tmp_path):
    assert count_steps(11, 4, tmp_path, repeats=2) == 5
    with pytest.raises(ConfigError, match="--batch-size 22 or less"):
        count_steps(11, 24, tmp_path, repeats=2)
