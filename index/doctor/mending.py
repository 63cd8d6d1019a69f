"""The commands that mend findings, as text that a shell takes as it is, whatever the names hold."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from encoder.shell_words import path_word, word
from index.filter_expression import ID
from index.ranks import NO_RANKS

_PLAIN_NAME = re.compile(r"[^\W\d]\w*")


class Mending:
    """Writes commands for one catalogue.

    Args:
        path: of its folder.
    """

    def __init__(self, path: Path) -> None:
        self.catalogue = path_word(path)

    def remove(self, ids: Iterable[str]) -> str:
        """Remove items."""
        named = list(ids)
        # An id that looks like an option comes after the sign that there are no more of those.
        end = ["--"] if any(item_id.startswith("-") for item_id in named) else []
        return self._command("remove", [*end, *named])

    def relabel(self, ids: Iterable[str], labels: Mapping[str, str], unset: Iterable[str] = ()) -> str:
        """Give items labels, and take those of other ranks from them."""
        named = list(ids)
        if any(item_id.startswith("-") for item_id in named):
            named = [f"--filter={_among(ID, named)}"]
        return self._command("relabel", [*named, *_settings(labels), *(f"--unset={rank}" for rank in unset)])

    def rename(
        self, rank: str, old: Iterable[str], labels: Mapping[str, str], under: tuple[str, str | None] | None = None
    ) -> str:
        """Give all items of some labels others.

        Args:
            rank: of the labels that they have.
            old: those.
            labels: that they get.
            under: only of items with this label of another rank, None for none of it; None for all.
        """
        which = _among(_field(rank), old)
        if under is not None:
            above, name = _field(under[0]), under[1]
            which += f" and not exists({above})" if name is None else f" and {_among(above, [name])}"
        return self._command("relabel", ["--filter", which, *_settings(labels)])

    def add(self, source: str, rank: str | None = None) -> str:
        """Take in the pictures of a source that a person has yet to fill; of a table with this rank alone, if given."""
        return self._command("add", ["--images", source, *([] if rank is None else [f"--ranks={rank}"])])

    def _command(self, action: str, words: Iterable[str]) -> str:
        return " ".join(["lodisc index", action, self.catalogue, *map(word, words)])


def _settings(labels: Mapping[str, str]) -> list[str]:
    return [part for rank, name in labels.items() for part in ("--set", f"{rank}={name}")]


def _among(field: str, names: Iterable[str]) -> str:
    """The filter for a field that is one of some texts."""
    quoted = sorted(map(_quoted, names))
    return f"{field} == {quoted[0]}" if len(quoted) == 1 else f"{field} in ({', '.join(quoted)})"


def _field(rank: str) -> str:
    """A rank as a filter writes it."""
    plain = _PLAIN_NAME.fullmatch(rank) and rank.lower() not in NO_RANKS
    return rank if plain else f"[{rank.replace(']', ']]')}]"


def _quoted(name: str) -> str:
    """A text as a filter writes it."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
