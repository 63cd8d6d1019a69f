"""What is said before training to be measurable is what retrieval measures in the end."""

import numpy as np
import pytest

from encoder.retrieval_metrics import rank_queries
from training.measurable import why_not_measurable


@pytest.mark.parametrize(
    ("test", "gallery", "reason"),
    [
        ("aabb", None, ""),
        ("aab", None, ""),
        ("ab", None, "no two"),
        ("a", None, "every answer would be right"),
        ("aaaa", None, "every answer would be right"),
        ("", None, "none of its test pictures lies in a sub-folder"),
        ("ab", "ab", ""),
        ("a", "ab", ""),
        ("a", "aa", "every answer would be right"),
        ("ab", "cd", "no label of its test pictures"),
        ("aabb", "c", "no label of its test pictures"),
    ],
)
def test_it_is_what_retrieval_can_answer(test, gallery, reason):
    found = why_not_measurable(list(test), None if gallery is None else list(gallery))
    assert found.startswith(reason) or reason in found
    assert bool(found) == bool(reason)
    if "every answer" in reason or not test:
        return  # these have figures, which say nothing
    vectors = np.ones((len(test), 2), np.float32)
    searched = () if gallery is None else (np.ones((len(gallery), 2), np.float32), list(gallery))
    assert bool(rank_queries(vectors, list(test), *searched).labels) == (not reason)
