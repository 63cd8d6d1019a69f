"""The tree of errors is the one that is drawn."""

import re

import pytest

from encoder import errors


def tree(root):
    return {root.__name__: root.__base__.__name__} | {
        name: base
        for child in root.__subclasses__()
        if child.__module__ == errors.__name__
        for name, base in tree(child).items()
    }


def test_the_drawing_shows_exactly_the_classes_with_their_parents():
    drawn, stack = {}, {}
    for line in errors.__doc__.splitlines():
        found = re.match(r"^    ([│├└─ ]*)(\w+Error)\b", line)
        if found:
            depth = len(found[1]) // 4
            stack[depth] = found[2]
            drawn[found[2]] = stack[depth - 1] if depth else "Exception"
    assert drawn == tree(errors.LodiscError)


@pytest.mark.parametrize("name", tree(errors.LodiscError))
def test_every_error_has_a_code_a_status_and_an_exit_code(name):
    error = getattr(errors, name)("what, expected, do", detail={"a": 1})
    assert re.fullmatch(r"[a-z_]+", error.code)
    assert 400 <= error.status < 600
    assert error.exit_code in (1, 2)
    assert (str(error), error.detail) == ("what, expected, do", {"a": 1})


def test_codes_tell_errors_apart():
    names = list(tree(errors.LodiscError))
    assert len({getattr(errors, name).code for name in names}) == len(names)


def test_exit_codes_and_statuses_are_those_of_the_contract():
    """2 where the arguments or the files they name are at fault, 1 otherwise."""
    ours = ["LodiscError", "ParityError", "CatalogueCorruptError", "TrainingError", "ClusterError"]
    assert [name for name in tree(errors.LodiscError) if getattr(errors, name).exit_code == 1] == ours
    statuses = {
        "InputError": 400,
        "NotFoundError": 404,
        "UndecodablePictureError": 422,
        "PictureTooLargeError": 413,
        "UnsupportedFormatError": 415,
        "BundleError": 503,
        "CatalogueNotFoundError": 404,
        "TrainingError": 500,
        "EncoderMismatchError": 409,
        "CatalogueBusyError": 503,
    }
    assert {name: getattr(errors, name).status for name in statuses} == statuses


def test_a_picture_s_error_knows_its_position():
    assert errors.PictureError("x").position is None
    error = errors.UndecodablePictureError("x", position=3, detail={"a": 1})
    assert (error.position, error.detail) == (3, {"a": 1})
