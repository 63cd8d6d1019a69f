"""Packs: what goes in comes out, labels only where they are read, and nothing damaged is trained on."""

import json
import logging
import shutil
import tarfile

import numpy as np
import pytest
from pictures import drawn, file_bytes
from PIL import Image

from encoder.errors import ConfigError, SourceError
from training.layouts import list_split
from training.pack_sources import PackSettings
from training.packing import pack_sets
from training.packs import gallery_labels, read_index, unpack
from training.picture_sets import find_sets

COLOURS = {"Zebrafink": (200, 50, 40), "Quagga/southern": (50, 180, 60), "Okapi": (40, 70, 210)}


def write_set(folder, colours=COLOURS, *, per_label=5):
    for part, first in (("train", 0), ("test", 100)):
        for label, colour in colours.items():
            (folder / part / label).mkdir(parents=True)
            for seed in range(first, first + per_label):
                path = folder / part / label / f"{label[:3]}-{seed}.png"
                path.write_bytes(file_bytes(drawn(colour, seed, (80, 60))))
    return folder


@pytest.fixture
def data(tmp_path):
    write_set(tmp_path / "data" / "africa")
    return tmp_path / "data"


def pack(data, out, tell=lambda _: None, **settings):
    return pack_sets(find_sets(data), PackSettings(**{"short_side": 48, **settings}), out, tell=tell)


def tar_names(folder, index, part):
    names = []
    for one in index.of(part):
        with tarfile.open(folder / one.file) as tar:
            names += tar.getnames()
    return names


def size(path):
    with Image.open(path) as picture:
        return picture.size


def test_a_training_pack_says_nothing_of_labels(data, tmp_path):
    """Not by a name, and not by an order: with the labels exchanged among the pictures, not one byte differs."""
    index = pack(data, tmp_path / "packs", gallery_is_train=("africa",))
    text = b"".join((tmp_path / "packs" / one.file).read_bytes() for one in index.of("train"))
    text += (tmp_path / "packs" / "packs.json").read_bytes()
    for word in (b"Zebrafink", b"Quagga", b"southern", b"Okapi", b"Zeb-", b"Qua-"):
        assert word not in text
    assert tar_names(tmp_path / "packs", index, "train") == [f"train/africa-{n:06d}.webp" for n in range(15)]
    labels = list(COLOURS)
    exchanged = dict(zip(labels, [COLOURS[label] for label in labels[1:] + labels[:1]], strict=True))
    write_set(tmp_path / "other" / "africa", exchanged)
    other = pack(tmp_path / "other", tmp_path / "other-packs", gallery_is_train=("africa",))
    assert [one.sha256 for one in other.of("train")] == [one.sha256 for one in index.of("train")]
    assert [one.sha256 for one in other.of("test")] != [one.sha256 for one in index.of("test")]


def test_test_pictures_keep_their_labels_and_the_gallery_has_its_own(data, tmp_path):
    index = pack(data, tmp_path / "packs", gallery_is_train=("africa",))
    assert [(one.num_train, one.num_test, one.gallery_is_train) for one in index.sets] == [(15, 15, True)]
    unpack(tmp_path / "packs", "train", tmp_path / "out")
    test = unpack(tmp_path / "packs", "test", tmp_path / "out")
    listing = list_split(test)
    assert sorted(listing.labels) == sorted(f"africa/{label}" for label in COLOURS for _ in range(5))
    by_file = {path: label.removeprefix("africa/") for path, label in zip(listing.paths, listing.labels, strict=True)}
    gallery = gallery_labels(tmp_path / "out", "africa")
    by_file |= {tmp_path / "out" / "train" / name: label for name, label in gallery.items()}
    assert len(by_file) == 30
    for path, label in by_file.items():
        with Image.open(path) as picture:
            colour = np.asarray(picture.convert("RGB")).reshape(-1, 3).mean(axis=0)
        assert np.argmax(colour) == np.argmax(COLOURS[label])


def test_labels_are_kept_where_the_recipe_reads_them(data, tmp_path):
    index = pack(data, tmp_path / "packs", labelled=True)
    assert index.labelled
    listing = list_split(unpack(tmp_path / "packs", "train", tmp_path / "out"))
    assert sorted(listing.labels) == sorted(f"africa/{label}" for label in COLOURS for _ in range(5))


def test_the_same_pictures_give_the_same_packs_and_the_same_files(data, tmp_path):
    one, other = (pack(data, tmp_path / name) for name in ("one", "other"))
    assert one == other
    stamps = []
    for name in ("a", "b"):
        unpacked = unpack(tmp_path / "one", "train", tmp_path / name)
        stamps.append([(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(unpacked.iterdir())])
    assert stamps[0] == stamps[1]


def test_pictures_are_shrunk_to_the_short_side_and_never_enlarged(data, tmp_path):
    (data / "africa" / "train" / "wide.png").write_bytes(file_bytes(drawn((9, 9, 9), 0, (200, 100))))
    (data / "africa" / "train" / "small.png").write_bytes(file_bytes(drawn((9, 9, 9), 1, (40, 30))))
    pack(data, tmp_path / "packs", short_side=50)
    unpacked = unpack(tmp_path / "packs", "train", tmp_path / "out")
    sizes = sorted(map(size, unpacked.iterdir()))
    assert sizes == [(40, 30), *[(67, 50)] * 15, (100, 50)]


def test_a_small_webp_is_kept_as_it_is_unless_it_has_metadata(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    plain = file_bytes(drawn((9, 99, 9), 0), "WEBP", quality=30)
    place = Image.Exif()
    place[0x010E] = "a secret garden"
    told = file_bytes(drawn((9, 9, 99), 1), "WEBP", quality=30, exif=place.tobytes())
    (folder / "plain.webp").write_bytes(plain)
    (folder / "told.webp").write_bytes(told)
    pack(folder, tmp_path / "packs")
    found = [path.read_bytes() for path in unpack(tmp_path / "packs", "train", tmp_path / "out").iterdir()]
    assert plain in found
    assert told not in found
    assert not any(b"secret" in content for content in found)


def test_no_pack_is_larger_than_asked_and_none_is_lost(data, tmp_path):
    index = pack(data, tmp_path / "packs", pack_bytes=40_000)
    assert len(index.of("train")) > 1
    for one in index.packs:
        assert (tmp_path / "packs" / one.file).stat().st_size == one.num_bytes <= 40_000
    assert sum(one.num_pictures for one in index.of("train")) == 15
    assert len(list(unpack(tmp_path / "packs", "train", tmp_path / "out").iterdir())) == 15
    with pytest.raises(ConfigError, match="alone takes .* raise --pack-mb"):
        pack(data, tmp_path / "none", pack_bytes=10_000)


def test_the_quality_is_the_one_at_which_the_packs_suffice(tmp_path):
    write_set(tmp_path / "data" / "africa", per_label=30)
    data = tmp_path / "data"
    found = {}
    for room in (125_000, 250_000):
        index = pack(data, tmp_path / str(room), pack_bytes=room, max_packs=2)
        assert len(index.packs) <= 2
        found[room] = index.quality
    assert 20 <= found[125_000] < found[250_000] <= 95
    # A little better, and the packs would be more.
    assert len(pack(data, tmp_path / "more", pack_bytes=125_000, quality=found[125_000] + 8).packs) > 2
    with pytest.raises(ConfigError, match=r"take \d+ packs .* allow more with --packs"):
        pack(data, tmp_path / "none", pack_bytes=60_000, max_packs=2)
    with pytest.raises(ConfigError, match="exclude each other"):
        pack(data, tmp_path / "none", max_packs=2, quality=80)


def test_a_damaged_pack_is_refused_and_packed_again(data, tmp_path):
    packs = tmp_path / "packs"
    index = pack(data, packs)
    path = packs / index.of("train")[0].file
    whole = path.read_bytes()
    middle = len(whole) // 2
    for content, message in (
        (whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], f"damaged: it has {len(whole)} bytes"),
        (whole[:middle], f"damaged: it has {middle} bytes"),
        (None, "cannot be read"),
    ):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SourceError, match=message):
            unpack(packs, "train", tmp_path / "out")
        assert not (tmp_path / "out" / "train").exists()
        path.write_bytes(b"")
    assert pack(data, packs) == index
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"holds no packs.json; pack pictures with --data DIR"),
        ("{", "cannot be read"),
        ('{"format_version": 1}', "fingerprint"),
    ],
)
def test_an_index_that_cannot_be_read_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "packs.json").write_text(content)
    with pytest.raises(SourceError, match=message):
        read_index(tmp_path)


def test_packs_of_a_newer_version_are_refused(data, tmp_path):
    pack(data, tmp_path / "packs")
    path = tmp_path / "packs" / "packs.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 2}))
    with pytest.raises(SourceError, match="format_version 2, this program reads up to 1; update lodisc"):
        read_index(tmp_path / "packs")


def test_other_packs_are_replaced_unless_a_run_was_trained_on_them(data, tmp_path):
    packs = tmp_path / "packs"
    pack(data, packs)
    sets, settings = find_sets(data), PackSettings(short_side=40)
    refused = "the run beside it was trained on some; choose another --out"
    with pytest.raises(ConfigError, match=refused):
        pack_sets(sets, settings, packs, may_replace=False)
    assert read_index(packs).short_side == 48
    damaged = packs / read_index(packs).packs[0].file
    damaged.write_bytes(damaged.read_bytes()[:600])
    with pytest.raises(ConfigError, match=refused):
        pack_sets(sets, settings, packs, may_replace=False)
    assert pack_sets(sets, PackSettings(short_side=48), packs, may_replace=False) == read_index(packs)
    assert pack_sets(sets, settings, packs).short_side == 40
    told = []
    assert pack_sets(sets, settings, packs, may_replace=False, tell=told.append).short_side == 40
    assert told == [f"the packs in {packs} are of these pictures already"]


def test_test_pictures_that_are_trained_on_are_counted(data, tmp_path, caplog):
    """By their content, whatever they are called and whichever set trains on them; what cannot be read has none."""
    asia = write_set(tmp_path / "asia", {"Okapi": (200, 50, 140), "Saiga": (140, 150, 60)})
    asia.rename(data / "asia")
    assert pack(data, tmp_path / "apart").num_trained_too == 0
    assert "trained on" not in caplog.text
    shared = {
        "africa/test/Okapi/x.png": "africa/train/Okapi/Oka-0.png",
        "asia/test/Saiga/y.png": "africa/train/Okapi/Oka-0.png",
    }
    for test, train in shared.items():
        shutil.copy(data / train, data / test)
    for part in ("train", "test"):
        (data / "asia" / part / "Okapi" / "gone.png").symlink_to("nowhere.png")
    assert pack(data, tmp_path / "packs").num_trained_too == 2
    first = data / "africa" / "test" / "Okapi" / "x.png"
    assert (
        f"2 of 28 test pictures are trained on too (the first: {first}, as {data / 'africa/train/Okapi/Oka-0.png'})"
        in caplog.text
    )


def test_pictures_that_cannot_be_used_are_named_and_counted(data, tmp_path, caplog):
    (data / "africa" / "train" / "Okapi" / "broken.png").write_bytes(b"no")
    (data / "africa" / "test" / "nameless.png").write_bytes(file_bytes(drawn((9, 9, 9), 0)))
    with caplog.at_level(logging.WARNING):
        index = pack(data, tmp_path / "packs")
    assert index.num_left_out == 2
    assert "broken.png, which cannot be decoded" in caplog.text
    assert "1 test pictures that are in no sub-folder" in caplog.text
    for number in range(9):
        (data / "africa" / "train" / "Okapi" / f"broken{number}.png").write_bytes(b"no")
    with pytest.raises(SourceError, match="10 of 40 pictures cannot be decoded"):
        pack(data, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_cannot_be_asked_for(data, tmp_path):
    with pytest.raises(ConfigError, match="names asia, which is no set with a test/ folder"):
        pack(data, tmp_path / "packs", gallery_is_train=("asia",))
    pack(data / "africa" / "train", tmp_path / "packs")
    with pytest.raises(SourceError, match="has no test packs"):
        unpack(tmp_path / "packs", "test", tmp_path / "out")


def test_a_gallery_without_labels_is_refused_before_anything_is_encoded(data, tmp_path):
    for path in list((data / "africa" / "train").rglob("*.png")):
        path.rename(data / "africa" / "train" / path.name)
    told = []
    with pytest.raises(ConfigError, match=r"names africa, but no picture in .*train lies in a sub-folder"):
        pack(data, tmp_path / "packs", told.append, gallery_is_train=("africa",))
    assert told == []


def test_a_set_that_cannot_be_measured_is_told_before_anything_is_encoded(data, tmp_path):
    """A rate of right answers over one label, or over no pair, would be found wanting only after training."""
    for label in ("Quagga", "Okapi"):
        shutil.rmtree(data / "africa" / "test" / label)
    write_set(data / "asia")
    for _ in range(2):
        told = []
        pack(data, tmp_path / "packs", told.append)
        assert told[0] == (
            "warning: africa will not be measured: all that is asked for or searched is labelled 'Zebrafink', so every "
            "answer would be right"
        )
        assert not any("asia will not" in line for line in told)
    told = []
    pack(data, tmp_path / "packs", told.append, gallery_is_train=("africa",))  # there are other labels in train
    assert not any("will not be measured" in line for line in told)


def test_fewer_packs_than_parts_are_refused_before_anything_is_encoded(data, tmp_path):
    told = []
    with pytest.raises(ConfigError, match="--packs is 1, but training and test pictures never share a pack: .* 2"):
        pack(data, tmp_path / "packs", told.append, max_packs=1)
    assert told == []
    shutil.rmtree(data / "africa" / "test")
    assert len(pack(data, tmp_path / "packs", max_packs=1).packs) == 1


def test_the_quality_is_estimated_part_by_part(tmp_path):
    """Two packs hold all pictures together, but the training pictures need one and a half of them."""
    data = write_set(tmp_path / "data" / "africa", per_label=30).parent
    for path in sorted((data / "africa" / "test").rglob("*.png"))[::2]:
        path.unlink()
    for path in sorted((data / "africa" / "train").rglob("*.png"))[:45]:
        shutil.copyfile(path, path.with_name(f"again-{path.name}"))
    told = []
    index = pack(data, tmp_path / "packs", told.append, pack_bytes=220_000, max_packs=2)
    assert [len(index.of(part)) for part in ("train", "test")] == [1, 1]
    assert sum(line.startswith("encoding") for line in told) == 1  # the estimate was right at once


def test_packs_from_before_shared_pictures_were_counted_are_read(data, tmp_path):
    pack(data, tmp_path / "packs")
    path = tmp_path / "packs" / "packs.json"
    document = json.loads(path.read_text())
    del document["num_trained_too"]
    path.write_text(json.dumps(document))
    assert read_index(tmp_path / "packs").num_trained_too is None


def test_a_folder_of_something_else_is_never_replaced(data, tmp_path):
    """Originals in a folder that is named as one of ours are the only ones that there are."""
    pack(data, tmp_path / "packs")
    for place in (data / "africa", data):
        before = sorted(data.rglob("*"))
        with pytest.raises(ConfigError, match="holds something else than unpacked packs; choose another --out"):
            unpack(tmp_path / "packs", "train", place)
        with pytest.raises(ConfigError, match="holds something else than packs; choose another --out"):
            pack(data, place)
        assert sorted(data.rglob("*")) == before


def test_a_killed_unpacking_or_packing_is_done_again_and_leaves_nothing(data, tmp_path):
    pack(data, tmp_path / "packs")
    names = sorted(path.name for path in unpack(tmp_path / "packs", "train", tmp_path / "out").iterdir())
    (tmp_path / "out" / "train.json").write_text("[]")  # as while it unpacks
    (tmp_path / "out" / "train" / names[0]).unlink()
    for orphan in (tmp_path / "out" / ".train", tmp_path / ".packs.new"):
        orphan.mkdir()
        (orphan / "half").write_text("")
    assert sorted(path.name for path in unpack(tmp_path / "packs", "train", tmp_path / "out").iterdir()) == names
    pack(data, tmp_path / "packs", short_side=40)
    assert not list(tmp_path.rglob("half"))


def test_a_long_and_narrow_picture_is_packed_as_large_as_webp_can(tmp_path):
    write_set(tmp_path / "data" / "africa")
    path = tmp_path / "data" / "africa" / "train" / "Okapi" / "strip.png"
    Image.new("RGB", (17_000, 48), (9, 90, 200)).save(path)
    assert pack(tmp_path / "data", tmp_path / "packs").num_left_out == 0
    sizes = {size(one) for one in unpack(tmp_path / "packs", "train", tmp_path / "out").iterdir()}
    assert sizes == {(64, 48), (16_383, 46)}


def test_sets_of_unequal_depth_are_refused_where_labels_are_read(data, tmp_path):
    write_set(tmp_path / "other" / "asia", {"Saiga": (140, 150, 60)})
    (tmp_path / "other" / "asia").rename(data / "asia")
    with pytest.raises(ConfigError, match="2 folders deep in africa/train and 1 in asia/train, so asia would have"):
        pack(data, tmp_path / "packs", labelled=True)
    assert pack(data, tmp_path / "packs").labelled is False


def test_pictures_of_a_hidden_folder_are_not_hidden_in_packs(tmp_path):
    write_set(tmp_path / ".set")
    pack(tmp_path / ".set", tmp_path / "packs")
    assert len(list_split(unpack(tmp_path / "packs", "train", tmp_path / "out")).paths) == 15
