"""Labels and metadata of an item: empty ones say nothing, and no filter could ask for them."""

import pytest

from service.item_facts import read_facts
from service.problems import RequestError


@pytest.mark.parametrize(
    ("labels", "metadata", "said"),
    [
        ({"species": ""}, {}, "`labels` has an empty label of 'species'; leave out what is not known"),
        ({"genus": "Vanessa", "": "cardui"}, {}, "`labels` has an empty name; a name is at least one character"),
        ({}, {"": 1}, "`metadata` has an empty name; a name is at least one character"),
    ],
)
def test_empty_names_and_labels_are_refused(labels: object, metadata: object, said: str) -> None:
    with pytest.raises(RequestError) as refused:
        read_facts(labels, metadata)
    assert refused.value.message == said
    assert refused.value.status == 400


def test_no_labels_and_an_empty_note_are_fine() -> None:
    assert read_facts({}, {"note": ""}) == ({}, {"note": ""})
