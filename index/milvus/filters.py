"""What a filter says (`index.filter_expression`) as an expression of Milvus over `tokens` and `facts`.

`not` is moved down to the single tests, and each test is written together with the token that says whether there is a
value to test. So no part of it hangs on what Milvus makes of a missing key, on which its versions differ.
"""

import json
from collections.abc import Iterable

from index.filter_expression import Comparison, Condition, Exists, Junction, Membership, Not, TextTest
from index.milvus.facts import Kind, existence_token, fact_key, kind_of, kind_token, value_token
from index.milvus.spelling import AFTER_ALL, spelt_number, spelt_text

_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def expression_of(condition: Condition, *, holds: bool = True) -> str:
    """The expression for the items of which a condition holds, or does not."""
    if isinstance(condition, Not):
        return expression_of(condition.operand, holds=not holds)
    if isinstance(condition, Junction):
        word = condition.word if holds else {"and": "or", "or": "and"}[condition.word]
        return "(" + f" {word} ".join(expression_of(one, holds=holds) for one in condition.operands) + ")"
    if isinstance(condition, Exists):
        return has_any([existence_token(condition.field.name)], holds)
    if isinstance(condition, Membership):
        return _among(condition, holds)
    if isinstance(condition, TextTest):
        return _text_test(condition, holds)
    return _comparison(condition, holds)


def has_any(tokens: Iterable[str], holds: bool = True) -> str:
    """The expression for the items that have one of some tokens, or none of them."""
    return f"{'' if holds else 'not '}array_contains_any(tokens, {json.dumps(sorted(tokens))})"


def _among(condition: Membership, holds: bool) -> str:
    name = condition.field.name
    same = {value_token(name, value) for value in condition.values}
    if not condition.negated:
        return has_any(same, holds)
    there = [existence_token(name)]
    if holds:
        return f"({has_any(there)} and {has_any(same, False)})"
    return f"({has_any(there, False)} or {has_any(same)})"


def _comparison(condition: Comparison, holds: bool) -> str:
    name, value = condition.field.name, condition.value
    if isinstance(value, bool) or condition.operator in ("==", "!="):
        return _among(Membership(condition.field, (value,), negated=condition.operator == "!="), holds)
    spelt = spelt_text(value) if isinstance(value, str) else spelt_number(value)
    kind = kind_of(value)
    sign = condition.operator if holds else _OPPOSITE[condition.operator]
    return _guarded(name, kind, f'{_fact(name, kind)} {sign} "{spelt}"', holds)


def _text_test(condition: TextTest, holds: bool) -> str:
    fact, spelt = _fact(condition.field.name, "text"), spelt_text(condition.text)
    if condition.kind == "startswith":
        ranges = (
            f'{fact} >= "{spelt}" and {fact} < "{spelt}{AFTER_ALL}"',
            f'{fact} < "{spelt}" or {fact} >= "{spelt}{AFTER_ALL}"',
        )
        test = f"({ranges[0] if holds else ranges[1]})"
    else:
        test = f'{"" if holds else "not "}({fact} like "%{spelt}%")'
    return _guarded(condition.field.name, "text", test, holds)


def _guarded(name: str, kind: Kind, test: str, holds: bool) -> str:
    """A test of a fact, or its opposite, which also holds where there is no such fact."""
    there = has_any([kind_token(name, kind)], holds)
    return f"({there} {'and' if holds else 'or'} {test})"


def _fact(name: str, kind: Kind) -> str:
    return f'facts["{fact_key(name, kind)}"]'
