"""A filter's text to what it says (`index.filter_expression`), by recursive descent.

    filter    : all ("or" all)*
    all       : one ("and" one)*
    one       : "not" one | "(" filter ")" | test
    test      : name (== | != | < | <= | > | >=) value
              | name ["not"] "in" "(" value ("," value)* ")"
              | "exists" "(" name ")"
              | ("startswith" | "contains") "(" name "," text ")"
    value     : text | number | true | false

Depth, length and the number of tests are bounded, so that no text, whatever is in it, costs more than one can afford.
"""

from typing import cast

from index.filter_expression import (
    Comparison,
    Condition,
    Exists,
    Field,
    Filter,
    Junction,
    Membership,
    Not,
    Operator,
    TextTest,
    Value,
)
from index.filter_tokens import WORDS, Token, fault, tokens_of

MAX_DEPTH = 32
MAX_TESTS = 200
TEXT_TESTS = ("startswith", "contains")
FUNCTIONS = frozenset({"exists", *TEXT_TESTS})
# No label rank may be called so, because a filter reads these as something else.
RESERVED = WORDS | FUNCTIONS
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_MISSING = frozenset({"null", "none", "nil"})
_INSTEAD = {
    "is": "exists(NAME) or not exists(NAME)",
    "like": 'startswith(NAME, "text") or contains(NAME, "text")',
    "between": "NAME >= low and NAME <= high",
    "startswith": 'startswith(NAME, "text")',
    "contains": 'contains(NAME, "text")',
}


def parse_filter(text: str) -> Filter:
    """Read a filter.

    Raises:
        FilterError: it is none; the message names the column and what was expected there.
    """
    return Filter(text, _Parser(tokens_of(text)).parse())


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens, self._next, self._depth, self._num_tests = tokens, 0, 0, 0

    def parse(self) -> Condition:
        condition = self._any()
        rest = self._peek()
        if rest.kind != "end":
            raise fault(rest.position, f"expected and, or, or the end, found {_told(rest)}")
        return condition

    def _any(self) -> Condition:
        operands = [self._all()]
        while self._take("word", "or"):
            operands.append(self._all())
        return operands[0] if len(operands) == 1 else Junction("or", tuple(operands))

    def _all(self) -> Condition:
        operands = [self._one()]
        while self._take("word", "and"):
            operands.append(self._one())
        return operands[0] if len(operands) == 1 else Junction("and", tuple(operands))

    def _one(self) -> Condition:
        token = self._peek()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise fault(token.position, f"brackets and `not` are nested deeper than {MAX_DEPTH}")
        condition: Condition
        if self._take("word", "not"):
            condition = Not(self._one())
        elif self._take("sign", "("):
            condition = self._any()
            self._expect(")", f"the bracket of column {token.position + 1} is not closed: expected ), found")
        else:
            condition = self._test()
        self._depth -= 1
        return condition

    def _test(self) -> Condition:
        name = self._peek()
        self._num_tests += 1
        if self._num_tests > MAX_TESTS:
            raise fault(name.position, f"a filter has at most {MAX_TESTS} comparisons; for many values use `in`")
        if name.kind != "name":
            raise fault(
                name.position, f"expected the name of a label or of metadata, as in year >= 2010, found {_told(name)}"
            )
        self._next += 1
        if name.value in FUNCTIONS and name.shown == name.value and self._take("sign", "("):
            return self._function(str(name.value))
        field = Field(str(name.value), name.position)
        sign = self._peek()
        if sign.kind == "sign" and sign.value in COMPARISONS:
            self._next += 1
            return self._comparison(field, sign)
        negated = self._take("word", "not")
        if self._take("word", "in"):
            return self._membership(field, negated)
        raise self._no_comparison(name)

    def _comparison(self, field: Field, sign: Token) -> Condition:
        value = self._value(f"after {sign.value}")
        if isinstance(value, bool) and sign.value not in ("==", "!="):
            raise fault(sign.position, f"true and false have no order; write == or != in place of {sign.value}")
        return Comparison(field, cast(Operator, sign.value), value)

    def _membership(self, field: Field, negated: bool) -> Condition:
        self._expect("(", "expected a list in round brackets after in, as in (1, 2), found")
        values = [self._value("in the list")]
        while self._take("sign", ","):
            values.append(self._value("in the list"))
        self._expect(")", "expected , or ) in the list, found")
        return Membership(field, tuple(values), negated)

    def _function(self, kind: str) -> Condition:
        name = self._peek()
        if name.kind != "name":
            raise fault(name.position, f"expected a name in {kind}(...), found {_told(name)}")
        self._next += 1
        field = Field(str(name.value), name.position)
        if kind == "exists":
            self._expect(")", "expected ) after the name, found")
            return Exists(field)
        self._expect(",", f'expected , and a text, as in {kind}(NAME, "text"), found')
        text = self._value(f"in {kind}(...)")
        if not isinstance(text, str):
            shown = self._tokens[self._next - 1]
            raise fault(shown.position, f"{kind} takes a text in quotes, found {_told(shown)}")
        self._expect(")", "expected ) after the text, found")
        return TextTest(field, "startswith" if kind == "startswith" else "contains", text)

    def _value(self, where: str) -> Value:
        token = self._peek()
        self._next += 1
        if token.kind in ("text", "number"):
            return token.value
        if token.kind == "word" and token.value in ("true", "false"):
            return token.value == "true"
        if token.kind == "name" and str(token.value).lower() in _MISSING:
            raise fault(token.position, f"`{token.shown}` is not used here; for a missing value write not exists(NAME)")
        if token.kind == "name":
            raise fault(token.position, f"a text goes between quotes, found {_told(token)} without them")
        raise fault(token.position, f"expected a text in quotes, a number, true or false {where}, found {_told(token)}")

    def _no_comparison(self, name: Token) -> Exception:
        found = self._peek()
        instead = _INSTEAD.get(str(found.value).lower()) if found.kind == "name" else None
        if instead is not None:
            return fault(
                found.position, f"`{found.shown}` is not used here; write {instead.replace('NAME', _told(name))}"
            )
        return fault(
            found.position, f"expected {' '.join(COMPARISONS)} or in after {_told(name)}, found {_told(found)}"
        )

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self, kind: str, value: str) -> bool:
        token = self._peek()
        if token.kind == kind and token.value == value:
            self._next += 1
            return True
        return False

    def _expect(self, sign: str, complaint: str) -> None:
        if not self._take("sign", sign):
            found = self._peek()
            raise fault(found.position, f"{complaint} {_told(found)}")


def _told(token: Token) -> str:
    """A token in a message, on one line and short."""
    if token.kind == "end":
        return "the end"
    shown = token.shown if token.shown.isprintable() else ascii(token.shown)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
