"""`lodisc index build --watch` as a real process: new, changed, bad and deleted files, and how it ends."""

import csv
import signal
import subprocess
import sys
import time

import pytest
from pictures import drawn, file_bytes

from index.sqlite_catalogue import SqliteCatalogue
from lodisc.commands.index_building import _until_told


def watching(catalogue, photos, bundle, *more):
    command = [sys.executable, "-m", "lodisc", "index", "build", catalogue, "--images", photos, "--bundle", bundle]
    command += ["--watch", "--watch-interval", "0.1", *more]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ids(path):
    with SqliteCatalogue.open(path) as catalogue:
        return set(catalogue.ids())


def until(condition, process, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def wait_for_line(process, text):
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(process.communicate())


def test_signals_that_are_ignored_stay_ignored():
    """As in a shell's background, where Ctrl-C is meant for others; a second one too, once the run was told to end."""
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with _until_told() as stop:
            signal.raise_signal(signal.SIGINT)
            assert not stop.is_set()
            signal.raise_signal(signal.SIGTERM)
            assert stop.is_set()
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == usual[signal.SIGTERM]
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def test_what_comes_changes_and_goes_is_taken_in(tmp_path, tiny_bundle, picture_folder):
    catalogue = tmp_path / "catalogue"
    process = watching(catalogue, picture_folder, tiny_bundle, "--prune")
    try:
        wait_for_line(process, "watching")
        assert len(ids(catalogue)) == 12
        (picture_folder / "new").mkdir()
        whole = file_bytes(drawn((1, 2, 3), 4))
        with (picture_folder / "new" / "slow.png").open("wb") as file:  # as a copy over a slow line does
            for at in range(0, len(whole), len(whole) // 20):
                file.write(whole[at : at + len(whole) // 20])
                file.flush()
                time.sleep(0.03)
        until(lambda: "new/slow.png" in ids(catalogue), process)
        with SqliteCatalogue.open(catalogue) as opened:
            before = opened.get("red/0.png").content_hash
        (picture_folder / "red" / "0.png").write_bytes(file_bytes(drawn((7, 7, 7), 7)))

        def changed():
            with SqliteCatalogue.open(catalogue) as opened:
                return opened.get("red/0.png").content_hash != before

        until(changed, process)
        (picture_folder / "bad.png").write_bytes(b"no picture")
        (picture_folder / "green" / "1.png").unlink()
        until(lambda: "green/1.png" not in ids(catalogue), process)
        until(lambda: "bad.png" in (catalogue / "rejected.csv").read_text(), process)
        (picture_folder / "last.png").write_bytes(file_bytes(drawn((70, 7, 7), 8)))
        until(lambda: "last.png" in ids(catalogue), process)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert err == ""
    assert out.endswith("stopped; the same command goes on from here\n")
    assert "1 deleted" in out
    with (catalogue / "rejected.csv").open(newline="") as file:
        assert [row[0] for row in csv.reader(file)] == ["path", str(picture_folder / "bad.png")]
    with SqliteCatalogue.open(catalogue) as opened:
        assert opened.stats().items == 13


def test_an_empty_folder_may_be_watched_and_ctrl_c_ends_it(tmp_path, tiny_bundle):
    (tmp_path / "photos").mkdir()
    process = watching(tmp_path / "c", tmp_path / "photos", tiny_bundle, "--json")
    try:
        until(lambda: (tmp_path / "c" / "catalogue.sqlite").exists(), process)
        (tmp_path / "photos" / "1.png").write_bytes(file_bytes(drawn((1, 2, 3), 4)))
        wait_for_line(process, '"encoded": 1')
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    ("source", "more", "message"),
    [("x.csv", (), "--watch needs a folder"), (".", ("--dry-run",), "exclude each other")],
)
def test_what_cannot_be_watched(tmp_path, tiny_bundle, source, more, message):
    process = watching(tmp_path / "c", tmp_path / source, tiny_bundle, *more)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert message in err
    assert not (tmp_path / "c").exists()
