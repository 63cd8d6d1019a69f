"""What a filter says (`index.filter_expression`) as a condition of SQL over the table `item`.

Nothing of the filter's text goes into the statement: names and values alike are bound. The condition is 0 or 1, never
NULL, so that NOT means not.
"""

from collections.abc import Callable

from index.filter_expression import (
    ID,
    Comparison,
    Condition,
    Exists,
    Field,
    Junction,
    Membership,
    Not,
    TextTest,
    Value,
)

_SQL_OPERATORS = {"==": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}

_ID_TYPE = "'text'"  # in SQL, the JSON type that an id has

# From the SQL of a value's JSON type and of the value to a condition on it.
Test = Callable[[str, str], str]


class SqlCondition:
    """The condition of a filter.

    Args:
        condition: what it says.

    Attributes:
        sql: over `item`, true or false for every row.
        parameters: what is bound in it, by name; the names begin with `f`.
    """

    def __init__(self, condition: Condition) -> None:
        self.parameters: dict[str, int | str] = {}
        self.sql = self._sql(condition)

    def _sql(self, condition: Condition) -> str:
        if isinstance(condition, Junction):
            return "(" + f" {condition.word.upper()} ".join(self._sql(one) for one in condition.operands) + ")"
        if isinstance(condition, Not):
            return f"(NOT {self._sql(condition.operand)})"
        return self._of_field(condition.field, self._test(condition))

    def _test(self, condition: Comparison | Membership | TextTest | Exists) -> Test:
        """The condition on one value that is there; NULL or false on one that is not."""
        if isinstance(condition, Exists):
            return lambda kind, _: f"{kind} <> 'null'"
        if isinstance(condition, TextTest):
            text = self._bound(condition.text)
            if condition.kind == "startswith":
                return lambda kind, value: f"{kind} = 'text' AND substr({value}, 1, length({text})) = {text}"
            return lambda kind, value: f"{kind} = 'text' AND instr({value}, {text}) > 0"
        if isinstance(condition, Membership):
            return self._membership(condition)
        if condition.operator == "!=":
            return _different(self._membership(Membership(condition.field, (condition.value,), negated=False)))
        return self._comparison(condition)

    def _comparison(self, condition: Comparison) -> Test:
        if isinstance(condition.value, bool):
            return self._membership(Membership(condition.field, (condition.value,), negated=False))
        operator, bound = _SQL_OPERATORS[condition.operator], self._bound(condition.value)
        types = "'text'" if isinstance(condition.value, str) else "'integer', 'real'"
        return lambda kind, value: f"{value} {operator} {bound} AND {kind} IN ({types})"

    def _membership(self, condition: Membership) -> Test:
        texts = [self._bound(one) for one in condition.values if isinstance(one, str)]
        booleans = sorted({str(one).lower() for one in condition.values if isinstance(one, bool)})
        numbers = [self._bound(one) for one in condition.values if not isinstance(one, str | bool)]

        def among(kind: str, value: str) -> str:
            tests = [f"{kind} = '{word}'" for word in booleans]
            if texts:
                tests.append(f"{value} IN ({', '.join(texts)}) AND {kind} = 'text'")
            if numbers:
                tests.append(f"{value} IN ({', '.join(numbers)}) AND {kind} IN ('integer', 'real')")
            return " OR ".join(f"({test})" for test in tests)

        return _different(among) if condition.negated else among

    def _of_field(self, field: Field, test: Test) -> str:
        """The test on the value of a field: the item's id, else its label, else its metadata."""
        if field.name == ID:
            return f"({test(_ID_TYPE, 'item.id')})"
        label_kind, label = self._of_document("item.labels", field.name)
        kind, value = self._of_document("item.metadata", field.name)
        is_label = f"{label_kind} IS NOT NULL"
        if is_plain(field.name):
            # Where its characters are not even there the labels need not be parsed: a third of the time of a scan.
            written = self._bound(f'"{field.name}"')
            is_label = f"instr(item.labels, {written}) AND {is_label}"
        return f"IFNULL(CASE WHEN {is_label} THEN {test(label_kind, label)} ELSE {test(kind, value)} END, 0)"

    def _of_document(self, document: str, name: str) -> tuple[str, str]:
        """The SQL of the JSON type and of the value of a key of a JSON column; both NULL where it has no such key."""
        if is_plain(name):
            path = self._bound(f'$."{name}"')
            return f"json_type({document}, {path})", f"json_extract({document}, {path})"
        key = self._bound(name)
        of_key = f"FROM json_each({document}) WHERE key = {key}"
        return f"(SELECT type {of_key})", f"(SELECT atom {of_key})"

    def _bound(self, value: Value) -> str:
        """The SQL of a value that is bound, not written."""
        name = f"f{len(self.parameters)}"
        if isinstance(value, float):
            # By its digits, so that SQLite makes of them what it makes of the same digits in a JSON column.
            self.parameters[name] = repr(value)
            return f"CAST(:{name} AS REAL)"
        self.parameters[name] = value
        return f":{name}"


def is_plain(name: str) -> bool:
    """Whether a key can stand in a JSON path of SQLite: what JSON escapes cannot, in no version the same way."""
    return all(character not in '"\\' and character >= " " for character in name)


def _different(same: Test) -> Test:
    return lambda kind, value: f"{kind} <> 'null' AND NOT ({same(kind, value)})"
