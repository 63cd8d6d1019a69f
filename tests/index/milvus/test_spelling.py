"""Spellings have the order of what they spell, and parts of texts are parts of spellings."""

from hypothesis import given
from hypothesis import strategies as st

from index.milvus.spelling import AFTER_ALL, read_text, spelt_number, spelt_text

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
near = st.text("aä\x11q", max_size=4)  # bytes whose halves look alike
numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), 1e-320, 1.8e19, float(2**63)]),
)


@given(texts | near, texts | near)
def test_texts(one, other):
    first, second = spelt_text(one), spelt_text(other)
    assert read_text(first) == one
    assert (first < second) == (one < other)
    assert (second in first) == (other in one)
    assert (second <= first < second + AFTER_ALL) == one.startswith(other)
    assert set(first) <= set("abcdefghijklmnopABCDEFGHIJKLMNOP")


@given(numbers, numbers)
def test_numbers(one, other):
    assert (spelt_number(one) < spelt_number(other)) == (one < other)
    assert (spelt_number(one) == spelt_number(other)) == (one == other)
