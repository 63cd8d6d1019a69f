"""Names as words of a command that a message prints: a shell reads back what was named, whatever it holds."""

import shlex
from pathlib import Path


def visible(text: str) -> str:
    """A text for a terminal: tabs, line breaks, escape sequences and the like as a backslash and a letter or number."""
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def word(text: str) -> str:
    """A text as one word of a shell: in $'...', as bash and zsh read it, if a terminal would not show it as it is."""
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + visible(text.replace("\\", "\\\\").replace("'", "\\'")) + "'"


def path_word(path: Path | str) -> str:
    """A path as one word that no command takes for an option."""
    name = str(path)
    return word(f"./{name}" if name.startswith("-") else name)


def _escaped(char: str) -> str:
    # Python writes two digits up to U+00FF. For a shell these are one byte, which beyond ASCII is no character.
    return f"\\u{ord(char):04x}" if "\x80" <= char <= "\xff" else char.encode("unicode_escape").decode()
