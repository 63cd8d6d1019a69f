"""Labels of one rank that differ only in how they are written: case, spaces, hyphens, underscores, accents composed."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping

_SEPARATORS = re.compile(r"(?<!\d)[\s_\-\u2010-\u2015]+|[\s_\-\u2010-\u2015]+(?!\d)")


def find_spellings(num_of_name: Mapping[str, int]) -> list[list[str]]:
    """Groups of names that are one word, each with the name that most items have first.

    Args:
        num_of_name: items of each label.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in num_of_name:
        groups[folded(name)].append(name)
    found = [sorted(names, key=lambda name: (-num_of_name[name], name)) for names in groups.values() if len(names) > 1]
    return sorted(found)


def folded(name: str) -> str:
    """What is left of a name without its spelling; between digits a separator stays, 1-2 is not 12."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return _SEPARATORS.sub("", text) or name
