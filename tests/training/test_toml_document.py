"""A recipe's TOML, read back by Python's own reader."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.recipe import Recipe, load_recipe, save_recipe
from training.toml_document import toml_document

texts = st.text(st.characters(exclude_categories=("Cs",)))
scalars = texts | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
keys = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1)


@given(st.dictionaries(keys, scalars | st.lists(scalars)))
def test_what_is_written_is_read_back(values):
    found = tomllib.loads(toml_document(values))
    assert found == values
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in values.items()}


def test_what_it_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="None"):
        toml_document({"a": None})


def test_a_saved_recipe_is_the_recipe(tmp_path):
    recipe = Recipe(encoder="nano", init='a "b"\\c\n.pth', lr=1e-05, jitter=(0.4, 0.0, 0.2, 0.1), epochs=7)
    save_recipe(recipe, tmp_path / "recipe.toml")
    assert load_recipe(str(tmp_path / "recipe.toml")) == recipe
