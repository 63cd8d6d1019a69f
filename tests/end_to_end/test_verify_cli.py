"""`lodisc index verify` as a person types it: a table, the first examples, the command that mends, exit codes."""

import contextlib
import json
import os
import pty
import sqlite3
import subprocess
import sys

import pytest

from lodisc.cli import main


@pytest.fixture
def catalogue(tmp_path, tiny_bundle, picture_folder, capsys):
    path = tmp_path / "catalogue"
    assert main(["index", "build", str(path), "--images", str(picture_folder), "--bundle", str(tiny_bundle)]) == 0
    capsys.readouterr()
    return path


def verified(capsys, *arguments):
    code = main(["index", "verify", *map(str, arguments)])
    return code, capsys.readouterr()


def alter(path, statement):
    connection = sqlite3.connect(path / "catalogue.sqlite")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_whole_catalogue_is_said_to_be_whole(catalogue, capsys):
    code, told = verified(capsys, catalogue)
    lines = told.out.splitlines()
    assert (code, told.err) == (0, "")
    assert len(lines) == 12
    assert all("  ok: " in line for line in lines[:-1])
    assert lines[-1] == f"{catalogue}: whole"


def test_a_fault_is_named_with_the_command_that_mends_it_and_that_command_does(catalogue, capsys):
    alter(catalogue, "DELETE FROM thumbnail WHERE row <= 7")
    code, told = verified(capsys, catalogue)
    assert code == 1
    assert "thumbnails" in told.out.splitlines()[-1]
    assert "'blue/0.png' has none" in told.out
    assert "and 2 more" in told.out
    assert f"to mend: lodisc index verify {catalogue} --repair" in told.out
    code, told = verified(capsys, catalogue, "--repair")
    assert code == 0
    assert "found 7, repaired 7; expected: every item has a thumbnail" in told.out
    assert told.out.endswith(": whole\n")
    assert "to mend" not in told.out


def test_the_answer_as_json(catalogue, capsys, picture_folder):
    (picture_folder / "red" / "0.png").unlink()
    code, told = verified(capsys, catalogue, "--json")
    answer = json.loads(told.out)
    assert code == 1
    assert not answer["clean"]
    pictures = next(check for check in answer["checks"] if check["check"] == "pictures")
    assert (pictures["kind"], pictures["looked_at"], pictures["found"], pictures["remaining"]) == ("source", 12, 1, 1)
    assert "red/0.png" in pictures["examples"][0]
    assert f"lodisc index remove {catalogue} ID" in pictures["remedy"]
    code, told = verified(capsys, catalogue, "--json", "--no-pictures")
    assert code == 0
    assert json.loads(told.out)["clean"]
    assert main(["index", "remove", str(catalogue), "red/0.png"]) == 0
    assert verified(capsys, catalogue)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--source", "nowhere"], "source nowhere does not exist"),
        (["--no-pictures", "--source", "."], "exclude each other"),
        (["--bundle", "bundle"], "--bundle is for a --repair"),
    ],
)
def test_wrong_arguments_are_one_line(catalogue, capsys, arguments, said):
    code, told = verified(capsys, catalogue, *arguments)
    assert code == 2
    assert said in told.err
    assert told.err.count("\n") == 1


def test_no_catalogue_is_one_line(tmp_path, capsys):
    code, told = verified(capsys, tmp_path)
    assert code == 2
    assert "is not a catalogue" in told.err


def test_a_damaged_database_is_a_finding_and_not_a_crash(catalogue, capsys):
    (catalogue / "catalogue.sqlite").write_bytes(b"not a database" * 1000)
    code, told = verified(capsys, catalogue)
    assert (code, told.err) == (1, "")
    assert "restore a copy" in told.out


def test_a_terminal_is_shown_how_far_it_is(catalogue):
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "lodisc", "index", "verify", str(catalogue)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=follower, text=True) as process:
        os.close(follower)
        shown = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while data := os.read(leader, 10_000):
                shown += data
        assert process.wait() == 0
    os.close(leader)
    assert b"pictures" in shown
    assert b"12/12" in shown
