"""SIGKILL of a running bulk index at random moments, from its first: the next run ends with every picture once."""

import json
import os
import random
import signal
import subprocess
import sys
import time

from pictures import drawn, file_bytes

from index.sqlite_catalogue import SqliteCatalogue

NUM_PICTURES = 600


def command(*arguments):
    return [sys.executable, "-m", "lodisc", "index", *map(str, arguments)]


def test_killed_three_times_and_still_whole(tmp_path, tiny_bundle):
    photos = tmp_path / "photos"
    for number in range(NUM_PICTURES):
        folder = photos / f"label{number % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:04}.jpg").write_bytes(
            file_bytes(drawn((number % 250, number // 3 % 250, 120), number, (320, 240)), "JPEG")
        )
    (photos / "label0" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut short")
    catalogue = tmp_path / "catalogue"
    build = command("build", catalogue, "--images", photos, "--bundle", tiny_bundle, "--batch-size", 8, "--json")
    chance = random.Random(7)
    counts = []
    for _ in range(3):
        process = subprocess.Popen(build, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # A moment while it is at work: after its first transaction of this run, plus a random while.
        before = counts[-1] if counts else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and count_items(catalogue) <= before and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.15))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        counts.append(count_items(catalogue))
    assert counts[0] > 0, "killed before it had written anything"
    assert counts == sorted(counts), "an acknowledged write was lost"

    done = subprocess.run(build, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["unchanged"] == counts[-1]
    assert report["encoded"] + report["reused"] + report["unchanged"] == NUM_PICTURES
    assert [path.endswith("broken.jpg") for path, _ in report["rejected"]] == [True]

    stats = json.loads(
        subprocess.run(command("stats", catalogue, "--json"), capture_output=True, text=True, check=True).stdout
    )
    assert (stats["items"], stats["labels"], stats["snapshot_items"], stats["tail_items"]) == (
        600,
        {"label": 7},
        600,
        0,
    )
    with SqliteCatalogue.open(catalogue) as opened:
        expected = {path.relative_to(photos).as_posix() for path in photos.rglob("0*.jpg")}
        assert set(opened.ids()) == expected


def test_killed_while_it_makes_the_catalogue(tmp_path, tiny_bundle, picture_folder):
    chance = random.Random(3)
    for turn in range(3):
        catalogue = tmp_path / f"catalogue{turn}"
        build = command("build", catalogue, "--images", picture_folder, "--bundle", tiny_bundle, "--json")
        process = subprocess.Popen(build, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not catalogue.exists():
            time.sleep(0.0005)
        time.sleep(chance.uniform(0, 0.02))
        process.kill()
        process.wait()
        report = json.loads(subprocess.run(build, capture_output=True, text=True, check=True).stdout)
        assert report["encoded"] + report["unchanged"] == 12
        with SqliteCatalogue.open(catalogue) as opened:
            assert opened.stats().items == 12
        assert list(catalogue.glob(".new-*")) == [], "what the killed run had begun is still there"


def count_items(path):
    """Items that are really there, counted from outside while the build runs."""
    if not (path / "catalogue.sqlite").is_file():
        return 0
    try:
        with SqliteCatalogue.open(path) as catalogue:
            return catalogue.stats().items
    except Exception:
        return 0  # killed, or still at work, before the empty catalogue was whole
