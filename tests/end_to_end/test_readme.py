"""The README's commands are run, and the figures of README and docs/ are those of the results."""

import itertools
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from live_server import serving
from pictures import write_picture_folder

from lodisc.cli import COMMANDS, build_parser

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


def test_figures_and_outputs_are_generated_from_the_results():
    done = subprocess.run([sys.executable, ROOT / "scripts" / "readme_figures.py", "--check"], check=False)
    assert done.returncode == 0, "run python scripts/readme_figures.py"


def test_every_command_is_listed():
    for name in COMMANDS:
        assert f"`lodisc {name}" in README


def shown_commands():
    """Every line of `lodisc` in a shell block of the README and of docs/, with the file that shows it."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for block in re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                for _, group in itertools.groupby(words, key=lambda word: word in ("&&", ";", "|", ">", "&")):
                    command = list(group)
                    while command and (re.match(r"\w+=", command[0]) or command[0] in ("python", "-m", "$")):
                        command.pop(0)
                    if command and command[0] in ("lodisc", ".venv/bin/lodisc"):
                        yield path.name, command[1:]


def test_every_command_that_is_shown_has_arguments_that_are_taken():
    shown = list(shown_commands())
    assert len(shown) >= 50
    for name, words in shown:
        try:
            build_parser(words[0]).parse_args(words)
        except SystemExit:
            pytest.fail(f"{name} shows: lodisc {' '.join(words)}")


def test_the_chain_runs_as_written(tmp_path):
    """Every `$ lodisc ...` line of the chain, in order; the training is cut to two steps, the pictures are drawn."""
    write_picture_folder(tmp_path / "photos" / "train", per_label=6)
    write_picture_folder(tmp_path / "photos" / "test", per_label=3)
    commands = re.findall(r"^\$ (lodisc .*)$", README, flags=re.MULTILINE)
    assert [command.split()[1] for command in commands] == ["train", "export", "index", "index", "evaluate", "search"]
    for command in commands:
        words = command.split()[1:]
        if words[0] == "train":
            words += ["--max-steps", "2", "--batch-size", "6"]
        words = [re.sub(r"^photos/test/.*", "photos/test/green/1.png", word) for word in words]
        done = subprocess.run(
            [sys.executable, "-m", "lodisc", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert "green" in done.stdout


def test_the_curl_lines_work(tmp_path, tiny_bundle):
    photos = write_picture_folder(tmp_path / "photos")
    build = ["index", "build", str(tmp_path / "catalogue"), "--images", str(photos), "--bundle", str(tiny_bundle)]
    subprocess.run([sys.executable, "-m", "lodisc", *build, "--quiet"], check=True, capture_output=True)
    for name in ("unknown", "front", "side", "a", "b"):
        (tmp_path / f"{name}.jpg").write_bytes((photos / "blue" / "2.png").read_bytes())
    lines = [line.split("#")[0] for line in README.splitlines() if line.startswith("curl ")]
    assert len(lines) == 3
    with serving(tmp_path / "catalogue", tmp_path / "log.txt") as server:
        for line in lines:
            command = line.replace("http://127.0.0.1:3000", server.url).split()
            done = subprocess.run([*command, "-sS"], cwd=tmp_path, capture_output=True, text=True, check=True)
            answer = json.loads(done.stdout)
            if line.strip().endswith("/embed"):
                assert len(answer["results"]) == 2
            else:
                assert answer["matches"][0]["id"] == "blue/2.png"


@pytest.mark.slow
def test_the_demo_serves_and_its_curl_line_works(tmp_path):
    """`lodisc demo` from nothing: drawn, indexed, measured, served; the line that it prints is run as it stands."""
    command = [sys.executable, "-m", "lodisc", "demo", "--port", "0"]
    with (tmp_path / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        printed = []
        for line in process.stdout:
            printed.append(line)
            if line.startswith("try:"):
                break
        curl = printed[-1].removeprefix("try:").strip()
        assert curl.startswith("curl "), "".join(printed) + (tmp_path / "log.txt").read_text()
        done = subprocess.run(f"{curl} -sS", shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
        answer = json.loads(done.stdout)
        assert answer["note"] is None, "the demo's encoder was trained on these insects"
        assert set(answer["matches"][0]["labels"]) == {"species", "genus"}
        rates = json.loads((tmp_path / "demo-catalogue" / "rates.json").read_text())["rates"]
        bundle, untrained, histogram = rates["demo"], rates["the same network, untrained"], rates["colour histogram"]
        assert bundle["species"] > 2 * untrained["species"]
        assert bundle["species"] > 2 * histogram["species"]
        assert histogram["within_genus"] < 0.5
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
        process.stdout.close()
