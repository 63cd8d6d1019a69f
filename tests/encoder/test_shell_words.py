"""Words of printed commands: real bash reads back what was named."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from encoder.shell_words import path_word, visible, word


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_reads_every_character_back():
    texts = [f"a{chr(code)}b" for code in [*range(1, 0x180), 0x2028, 0x202E, 0xFEFF, 0xE0001]]
    line = "printf '%s\\0' " + " ".join(map(word, texts))
    assert line.isprintable()
    there = {**os.environ, "LC_ALL": "C.UTF-8"}
    read = subprocess.run(["bash", "-c", line], capture_output=True, check=True, env=there).stdout
    assert read.decode().split("\0")[:-1] == texts


def test_visible_shows_what_a_terminal_would_obey():
    assert visible("\x1b[31mred\t\xfc\x9b") == "\\x1b[31mred\\t\xfc\\u009b"


def test_a_path_is_quoted_where_a_shell_needs_it_and_is_never_an_option():
    quoted = shlex.quote("it's mine")
    assert [path_word(name) for name in (Path("cat"), "my cat", Path("it's mine"), "-cat")] == [
        "cat", "'my cat'", quoted, "./-cat",
    ]  # fmt: skip
