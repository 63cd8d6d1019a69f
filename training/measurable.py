"""Whether retrieval on a set's test pictures could be measured at all, by their labels alone."""

from collections import Counter
from collections.abc import Sequence


def why_not_measurable(test: Sequence[str], gallery: Sequence[str] | None = None) -> str:
    """What keeps test pictures from being measured; empty where nothing does.

    Args:
        test: the label of each test picture.
        gallery: of each picture that they are searched in; None for leave one out in test.
    """
    if not test:
        return "none of its test pictures lies in a sub-folder, so none has a label"
    labels = {*test, *(gallery or ())}
    if len(labels) < 2:
        return f"all that is asked for or searched is labelled {test[0]!r}, so every answer would be right"
    if gallery is None and max(Counter(test).values()) < 2:
        return "no two of its test pictures have the same label"
    if gallery is not None and not set(test) & set(gallery):
        return "no label of its test pictures is one of its training pictures'"
    return ""
