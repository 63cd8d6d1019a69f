"""A map on disk against a dictionary, and its order against that of paths."""

import random
from pathlib import PurePosixPath

import pytest

from encoder.errors import SourceError
from index.disk_map import DiskMap


def test_it_is_a_sorted_dictionary():
    chance = random.Random(3)
    expected = {}
    with DiskMap() as found:
        for _ in range(5000):
            name = "/".join(chance.choice(("a", "a-b", "a b", "é", "z.png")) for _ in range(chance.randint(1, 5)))
            value = str(chance.randint(0, 9))
            match chance.randint(0, 2):
                case 0:
                    assert found.add(name, value) == expected.get(name)
                    expected.setdefault(name, value)
                case 1:
                    found.put(name, value)
                    expected[name] = value
                case _:
                    found.remove(name)
                    expected.pop(name, None)
            assert found.get(name) == expected.get(name)
            assert (name in found) == (name in expected)
        assert len(found) == len(expected) > 500
        assert dict(found.items()) == expected
        assert list(found) == sorted(expected, key=lambda name: PurePosixPath(name).parts)


def test_it_may_change_while_it_is_gone_through():
    with DiskMap() as names:
        for number in range(2500):
            names.put(f"{number:05}", "")
        for name in names:
            names.remove(name)
        assert len(names) == 0


def test_names_that_are_not_utf8():
    with DiskMap() as names:
        names.add("caf\udce9.png", "x\udce9")
        assert list(names.items()) == [("caf\udce9.png", r"x\udce9")]


def test_a_full_disk_is_told():
    names = DiskMap()
    names._connection.execute("PRAGMA max_page_count = 20")
    many = (f"{number:0100}" for number in range(10_000))
    with pytest.raises(SourceError, match="does not fit into the temporary folder"):
        all(names.add(name) is None for name in many)
