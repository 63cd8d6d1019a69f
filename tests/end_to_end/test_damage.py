"""What befalls a catalogue from outside: a full disk, flipped bits, a deleted cache, a newer program, two writers."""

import multiprocessing
import random
import re
import resource
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from killed_writer import PROCESSES, Writer, drawn_item, promises_broken, stored
from pictures import write_picture_folder
from tiny_encoder import DIM

from encoder.bundle import Bundle
from encoder.errors import CatalogueError, LodiscError
from index.ann_wishes import IndexWishes
from index.snapshot import newest_snapshot
from index.sqlite_catalogue import SqliteCatalogue
from index.verification import verify
from lodisc.cli import main

NUM_ITEMS = 400


def filled(path, bundle, factory=None):
    """A catalogue with a snapshot, and with changes after it."""
    with SqliteCatalogue.create(path, Bundle.open(bundle)) as catalogue:
        catalogue.wish(IndexWishes(faiss=factory))
        catalogue.put([drawn_item(f"i{number}", 0, DIM) for number in range(NUM_ITEMS)])
        catalogue.compact()
        catalogue.put([drawn_item(f"i{number}", 1, DIM) for number in range(20)])
        catalogue.delete([f"i{number}" for number in range(20, 40)])
    return path


@pytest.fixture
def path(tmp_path, tiny_bundle):
    return filled(tmp_path / "catalogue", tiny_bundle)


@pytest.fixture(scope="module", params=[None, "IVF8,SQ8"])
def original(request, tmp_path_factory, tiny_bundle):
    return filled(tmp_path_factory.mktemp("original") / "catalogue", tiny_bundle, request.param)


@pytest.fixture
def either(original, tmp_path):
    """A catalogue that is searched exactly, and one with an approximate index."""
    return shutil.copytree(original, tmp_path / "catalogue")


def looked_at(path, *, mend=False):
    return verify(path, means=None, mend=mend, tell=lambda part, done, total: None)


def searches_broken(path):
    """What `promises_broken` says beside what `verify` finds."""
    return [fault for fault in promises_broken(path, stored(path), DIM) if not fault.startswith("snapshot:")]


@pytest.mark.parametrize("name", ["index.faiss", "vectors.bin", "rows.npy", "snapshot.json"])
def test_flipped_bits_of_a_snapshot_are_found_answered_around_and_repaired(either, name):
    file = either / "ann" / str(newest_snapshot(either)) / name
    whole = file.read_bytes()
    for share in (0, 0.003, 0.25, 0.5, 0.75, 1):
        data = bytearray(whole)
        offset = round(share * (len(data) - 1))
        data[offset] ^= 1 << random.Random(offset).randrange(8)
        file.write_bytes(data)
        report = looked_at(either)
        assert [check.name for check in report.checks if check.remaining] == ["snapshot"], f"byte {offset}"
        assert name in report.of("snapshot").examples[0]
        assert searches_broken(either) == []
    report = looked_at(either, mend=True)
    assert report.clean
    assert report.of("snapshot").repaired > 0
    assert promises_broken(either, stored(either), DIM) == []


def test_files_that_are_missing_or_cut_short_are_found_and_repaired(path):
    for name in ("index.faiss", "vectors.bin", "rows.npy", "snapshot.json"):
        for harm in (Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:-1])):
            harm(path / "ann" / str(newest_snapshot(path)) / name)
            assert not looked_at(path).clean
            assert searches_broken(path) == []
            assert looked_at(path, mend=True).clean
            assert promises_broken(path, stored(path), DIM) == []


def test_a_deleted_snapshot_folder_costs_only_time(path):
    shutil.rmtree(path / "ann")
    report = looked_at(path)
    assert report.clean
    assert report.of("snapshot").note.startswith("there is none")
    assert promises_broken(path, stored(path), DIM) == []
    assert looked_at(path, mend=True).of("snapshot").note == f"built anew, of {NUM_ITEMS - 20} items"
    assert newest_snapshot(path) is not None
    assert promises_broken(path, stored(path), DIM) == []


def put_until_full(catalogue):
    for number in range(10_000):
        catalogue.put([drawn_item(f"n{number}-{part}", 0, DIM) for part in range(20)])


def on_a_full_disk(pipe, path, work, limit):
    """Run in a process of its own, which may let no file grow over `limit`: as a full disk, told by EFBIG."""
    with SqliteCatalogue.open(path) as catalogue:
        put, acknowledged = catalogue.put, []

        def noted(items):
            put(items)
            acknowledged.extend(item.id for item in items)

        catalogue.put = noted
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            work(catalogue)
            pipe.send(("done", acknowledged))
        except LodiscError as error:
            pipe.send((error.message, acknowledged))


@pytest.mark.parametrize(
    ("work", "limits"),
    [(put_until_full, (200_000, 500_000, 777_777)), (SqliteCatalogue.compact, (1, 5000, 15_000))],
    ids=["put", "compact"],
)
def test_a_full_disk_is_a_clear_error_and_nothing_is_half_there(path, work, limits):
    for limit in limits:
        before = stored(path)
        receiver, sender = PROCESSES.Pipe(duplex=False)
        with SqliteCatalogue.open(path):  # keeps the log where it is, as a server does
            process = PROCESSES.Process(target=on_a_full_disk, args=(sender, path, work, limit))
            process.start()
            message, acknowledged = receiver.recv()
            process.join()
        assert "disk is full" in message
        assert "\n" not in message
        after = stored(path)
        assert after.keys() == before.keys() | set(acknowledged)
        assert promises_broken(path, after, DIM) == []
    with SqliteCatalogue.open(path) as catalogue:
        catalogue.put([drawn_item("afterwards", 0, DIM)])
        catalogue.compact()
    assert promises_broken(path, stored(path), DIM) == []
    assert looked_at(path).of("leftovers").found == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_disk_that_is_really_full(small_disk, tmp_path, tiny_bundle, capsys):
    path, photos = small_disk / "catalogue", write_picture_folder(tmp_path / "photos", per_label=20)
    with SqliteCatalogue.create(path, Bundle.open(tiny_bundle)) as catalogue:
        with pytest.raises(CatalogueError, match="disk is full"):
            put_until_full(catalogue)
        full = stored(path)
        assert len(full) >= 100
        with pytest.raises(CatalogueError, match="disk is full"):
            catalogue.compact()
    assert stored(path) == full
    build = ["index", "build", str(path), "--images", str(photos), "--bundle", str(tiny_bundle), "--quiet"]
    assert main(build) == 2
    assert re.fullmatch(r"lodisc: error: .*(disk is full|No space left).*\n", capsys.readouterr().err)
    subprocess.run(["mount", "-o", "remount,size=2300k", small_disk], check=True)  # room to begin, not to end
    assert main(build) == 2
    assert re.fullmatch(r"lodisc: error: .*(disk is full|No space left).*\n", capsys.readouterr().err)
    assert stored(path).items() >= full.items()
    assert promises_broken(path, stored(path), DIM) == []

    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    assert main(build) == 0
    assert len(stored(path)) == len(full) + 60
    assert promises_broken(path, stored(path), DIM) == []


def step(pipe, path, kind, seed, count):
    with SqliteCatalogue.open(path) as catalogue:
        writer = Writer(pipe, catalogue, random.Random(seed))
        for _ in range(count):
            writer.step(kind)


def test_two_writers_and_a_compaction_at_once(path):
    """Both write the same ids; every call returns, and of each id the later one is there whole."""
    first, second = ({f"i{number}": version for number in range(100, 200)} for version in (5, 6))
    ends = [PROCESSES.Pipe(duplex=False) for _ in range(3)]
    works = [
        PROCESSES.Process(target=put_each, args=(ends[0][1], path, first)),
        PROCESSES.Process(target=put_each, args=(ends[1][1], path, second)),
        PROCESSES.Process(target=step, args=(ends[2][1], path, "compact", 1, 5)),
    ]
    for process in works:
        process.start()
    for receiver, sender in ends:
        sender.close()
        while multiprocessing.connection.wait([receiver], 60):
            try:
                receiver.recv()
            except EOFError:
                break
    for process in works:
        process.join()
    assert [process.exitcode for process in works] == [0, 0, 0]
    found = stored(path)
    for item_id in first:
        hashes = {drawn_item(item_id, version, DIM).content_hash for version in (5, 6)}
        assert item_id not in found or found[item_id][0] in hashes  # the third deletes some
    assert promises_broken(path, found, DIM) == []


def put_each(pipe, path, versions):
    with SqliteCatalogue.open(path) as catalogue:
        for item_id, version in versions.items():
            catalogue.put([drawn_item(item_id, version, DIM)])
    pipe.close()


COMMANDS = {
    "build": ["index", "build", "PATH", "--images", "PHOTOS", "--bundle", "BUNDLE"],
    "add": ["index", "add", "PATH", "--images", "PHOTOS"],
    "remove": ["index", "remove", "PATH", "i1"],
    "list": ["index", "list", "PATH"],
    "stats": ["index", "stats", "PATH"],
    "compact": ["index", "compact", "PATH"],
    "verify": ["index", "verify", "PATH"],
    "repair": ["index", "verify", "PATH", "--repair"],
    "search": ["search", "PATH", "PHOTOS/red/0.png"],
    "serve": ["serve", "PATH"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_newer_schema_is_refused_by_every_command_with_one_line(command, path, tmp_path, tiny_bundle, capsys):
    photos = write_picture_folder(tmp_path / "photos", per_label=1)
    connection = sqlite3.connect(path / "catalogue.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    content = (path / "catalogue.sqlite").read_bytes()
    places = {"PATH": str(path), "BUNDLE": str(tiny_bundle)}
    arguments = [places.get(word, word.replace("PHOTOS", str(photos))) for word in COMMANDS[command]]
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "schema version 99" in told
    assert "update lodisc" in told
    assert (path / "catalogue.sqlite").read_bytes() == content
