"""The commands that mend: what a shell makes of them is what was named."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from index.doctor.mending import Mending

QUOTED = shlex.quote("it's")
NAMES = [
    "plain", "two words", "it's", 'a "b"', "$(touch x)`y`", "back\\slash", "tab\there", "line\nbreak",
    "\x1b[31mred\x1b[0m", "a'\tb\\t", "日本\u202egnp", "-dash", "!!", "*",
    "no\xa0break", "soft\xadhyphen", "\x80\x9f\xff", "\x7f", "\x1bface", "\xa0face", "\U000e0001tag",
]  # fmt: skip


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("name", NAMES)
def test_a_shell_gives_the_names_back(name):
    command = Mending(Path("cat")).relabel(["1"], {"species": name})
    assert command.isprintable()
    words = command.removeprefix("lodisc ")
    there = {**os.environ, "LC_ALL": "C.UTF-8"}
    read = subprocess.run(["bash", "-c", f"printf '%s\\0' {words}"], capture_output=True, check=True, env=there).stdout
    assert read.decode().split("\0")[-2] == f"species={name}"


def test_what_a_terminal_prints_as_it_is_stays_as_any_shell_reads_it():
    assert Mending(Path("it's")).remove(["a b"]) == f"lodisc index remove {QUOTED} 'a b'"
