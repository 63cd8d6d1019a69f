"""`lodisc demo` up to the point of serving, with the person's own pictures and with what can go wrong."""

import json
import socket
import subprocess
import sys


def demo(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "lodisc", "demo", *map(str, arguments)], capture_output=True, text=True
    )


def test_own_pictures(tmp_path, tiny_bundle, picture_folder):
    out = tmp_path / "out"
    arguments = ("--images", picture_folder, "--out", out, "--bundle", tiny_bundle, "--no-serve")
    done = demo(*arguments)
    assert done.returncode == 0, done.stderr
    assert "catalogue: 12 pictures" in done.stdout
    found = subprocess.run(
        [
            sys.executable,
            "-m",
            "lodisc",
            "search",
            str(out / "catalogue"),
            str(picture_folder / "red" / "0.png"),
            "--json",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(found.stdout)
    assert answer["matches"][0]["id"] == "red/0.png"
    assert "lodisc train" in answer["note"], "an encoder that knows other pictures has to say so"
    assert demo(*arguments).returncode == 0, "a second start"


def test_a_taken_port_is_said_before_any_work(tmp_path, tiny_bundle):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = demo("--out", tmp_path / "out", "--bundle", tiny_bundle, "--port", port)
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert not (tmp_path / "out").exists()


def test_faults_are_one_clear_line(tmp_path, tiny_bundle):
    for arguments, message in (
        (("--images", tmp_path / "nowhere", "--bundle", tiny_bundle), "does not exist"),
        (("--bundle", tmp_path / "nowhere"), "--bundle"),
    ):
        done = demo(*arguments, "--out", tmp_path / "out", "--no-serve")
        assert done.returncode == 2
        assert done.stderr.startswith("lodisc: error: ")
        assert done.stderr.count("\n") == 1
        assert message in done.stderr
    assert not (tmp_path / "out").exists()
