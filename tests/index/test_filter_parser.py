"""What a filter's text means, and what is said where it means nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.errors import FilterError
from index.filter_expression import Comparison, Exists, Field, Junction, Membership, Not, TextTest, fields_of
from index.filter_parser import MAX_DEPTH, MAX_TESTS, parse_filter
from index.filter_tokens import MAX_LENGTH


def said(text):
    return parse_filter(text).condition


def test_the_example_of_the_readme():
    assert said('genus == "Vanessa" and year >= 2010 and locality in ("Ulm", \'Bonn\')') == Junction(
        "and",
        (
            Comparison(Field("genus"), "==", "Vanessa"),
            Comparison(Field("year"), ">=", 2010),
            Membership(Field("locality"), ("Ulm", "Bonn"), negated=False),
        ),
    )


def test_and_binds_closer_than_or_and_not_closest():
    a, b, c = (Comparison(Field(name), "==", 1) for name in "abc")
    assert said("a == 1 or b == 1 and c == 1") == Junction("or", (a, Junction("and", (b, c))))
    assert said("(a == 1 or b == 1) AND c == 1") == Junction("and", (Junction("or", (a, b)), c))
    assert said("not a == 1 and b == 1") == Junction("and", (Not(a), b))
    assert said("Not (a == 1 and b == 1)") == Not(Junction("and", (a, b)))
    assert said("((a == 1))") == a


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0", 0), ("-12", -12), ("+3", 3), ("1.50", 1.5), (".5", 0.5), ("2.", 2.0), ("1e3", 1000.0),
        ("-1.5E-2", -0.015),
        ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)), ("true", True), ("FALSE", False),
        ('"it\'s"', "it's"), ("'say \"x\"'", 'say "x"'), (r'"\"\\\n\t\'"', "\"\\\n\t'"), ('""', ""), ('"ä🦋"', "ä🦋"),
    ],
)  # fmt: skip
def test_values(written, value):
    found = said(f"x=={written}").value
    assert (found, type(found)) == (value, type(value))


def test_names():
    assert said("Größe_2 > 1") == Comparison(Field("Größe_2"), ">", 1)
    assert said("[catalogue number] > 1") == Comparison(Field("catalogue number"), ">", 1)
    assert said("[a ]] [b] > 1") == Comparison(Field("a ] [b"), ">", 1)
    assert said("[and] > 1") == Comparison(Field("and"), ">", 1)
    assert said("[exists] > 1 or exists < 1").operands == (
        Comparison(Field("exists"), ">", 1),
        Comparison(Field("exists"), "<", 1),
    )


def test_functions_and_lists():
    assert said("exists(year)") == Exists(Field("year"))
    assert said('startswith(id, "Vanessa/")') == TextTest(Field("id"), "startswith", "Vanessa/")
    assert said("contains([a b], 'x')") == TextTest(Field("a b"), "contains", "x")
    assert said('x NOT IN (1, "a", true)') == Membership(Field("x"), (1, "a", True), negated=True)


def test_fields_are_listed_with_their_places():
    condition = said('not (a == 1 or exists(b)) and startswith(c, "x") and a in (2)')
    assert [(field.name, field.position) for field in fields_of(condition)] == [
        ("a", 5), ("b", 22), ("c", 41), ("a", 53),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "column", "said_so"),
    [
        ("", 1, "expected the name of a label or of metadata, as in year >= 2010, found the end"),
        ("2010 <= year", 1, "found 2010"),
        ("genus = 'x'", 7, "`=` is not used here; write =="),
        ("genus <> 'x'", 7, "write !="),
        ("a == 1 && b == 2", 8, "write and"),
        ("a == 1 || b == 2", 8, "write or"),
        ("!(a == 1)", 1, "write not"),
        ("genus == Vanessa", 10, "a text goes between quotes, found Vanessa without them"),
        ("genus", 6, "expected == != < <= > >= or in after genus, found the end"),
        ("genus not == 1", 11, "found =="),
        ("genus like 'V%'", 7, 'write startswith(genus, "text") or contains(genus, "text")'),
        ("[a b] is null", 7, "write exists([a b]) or not exists([a b])"),
        ("year between 1 and 2", 6, "write year >= low and year <= high"),
        ("year == null", 9, "not exists(NAME)"),
        ("a in [1, 2]", 6, "expected a list in round brackets after in, as in (1, 2), found [1, 2]"),
        ("a in ()", 7, "expected a text in quotes, a number, true or false in the list, found )"),
        ("a in (1 2)", 9, "expected , or ) in the list, found 2"),
        ("(a == 1", 8, "the bracket of column 1 is not closed"),
        ("a == 1)", 7, "expected and, or, or the end, found )"),
        ("a == 1 b == 2", 8, "expected and, or, or the end, found b"),
        ('a == "x', 6, 'no closing "'),
        ("[a == 1", 1, "no closing ]"),
        ("[] == 1", 1, "no name between the brackets"),
        (r'a == "C:\pics"', 9, "for a backslash itself write two"),
        ("a == 007", 6, "'007' is no number; if it is text, put it in quotes"),
        ("a == 10km", 6, "'10km' is no number"),
        ("a == 1_000", 6, "no number"),
        ("a == 1e999", 6, "too large"),
        ("a == 9223372036854775808", 6, "at most 64 bits"),
        (f"a == {'9' * 5000}", 6, "at most 64 bits"),
        ("a < true", 3, "true and false have no order"),
        ("exists(5)", 8, "expected a name in exists(...), found 5"),
        ("startswith(a)", 13, "startswith(NAME, \"text\")"),
        ("contains(a, 5)", 13, "contains takes a text in quotes, found 5"),
        ("a == 1; DROP TABLE item", 7, "';' cannot stand here"),
        ("a == \0", 6, "is no character of a text"),
        ("a == '\udcff'", 7, "is no character of a text"),
        ("\n\n a ==", 8, "found the end"),
        ("[a\nb]", 6, r"'[a\nb]'"),
    ],
)  # fmt: skip
def test_faults_name_the_column_and_the_remedy_in_one_line(text, column, said_so):
    with pytest.raises(FilterError) as caught:
        parse_filter(text)
    message = caught.value.message
    assert message.startswith(f"filter, column {column}: "), message
    assert said_so in message
    assert message.isprintable()
    assert len(message) < 250
    assert caught.value.detail == {"position": column - 1}
    assert (caught.value.code, caught.value.status, caught.value.exit_code) == ("invalid_filter", 400, 2)


def test_bounds():
    parse_filter("not " * (MAX_DEPTH - 1) + "a == 1")
    for too_deep in ("not " * MAX_DEPTH + "a == 1", "(" * 10_000):
        with pytest.raises(FilterError, match=f"deeper than {MAX_DEPTH}"):
            parse_filter(too_deep)
    parse_filter(" or ".join(["a == 1"] * MAX_TESTS))
    with pytest.raises(FilterError, match="for many values use `in`"):
        parse_filter(" or ".join(["a == 1"] * (MAX_TESTS + 1)))
    with pytest.raises(FilterError, match="at most 20000 characters"):
        parse_filter(f"a == '{'x' * MAX_LENGTH}'")


FRAGMENTS = [
    *("a", "[b c]", "1", "-", ".5e", "true", "in", "not", "and", "or", "exists(", "startswith("),
    *("==", "!=", "<", "(", ")", ",", "[", "]", "&", "=", ";", "--", "/*", " ", "\n"),
    *('"', "'", "\\", "\0", "\udcff", "ä", "٣"),
]


@given(st.one_of(st.text(), st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join)))
def test_no_text_raises_anything_else(text):
    try:
        condition = parse_filter(text).condition
    except FilterError as error:
        refusal = error
    else:
        assert list(fields_of(condition))
        return
    assert refusal.message.isprintable()
    assert 0 <= refusal.detail["position"] <= len(text)
