"""Which sets a data folder holds."""

import pytest
from pictures import write_picture_folder

from encoder.errors import ConfigError, SourceError
from training.picture_sets import find_sets


@pytest.fixture
def data(tmp_path):
    write_picture_folder(tmp_path / "data" / "cars" / "train")
    write_picture_folder(tmp_path / "data" / "cars" / "test")
    write_picture_folder(tmp_path / "data" / "apes" / "train")
    return tmp_path / "data"


def test_a_folder_of_sets(data):
    assert [(each.name, each.train, each.test) for each in find_sets(data)] == [
        ("apes", data / "apes" / "train", None),
        ("cars", data / "cars" / "train", data / "cars" / "test"),
    ]
    assert [each.name for each in find_sets(data, ["cars"])] == ["cars"]


def test_one_set_and_one_folder_of_pictures(data):
    (one,) = find_sets(data / "cars")
    assert (one.name, one.train, one.test) == ("cars", data / "cars" / "train", data / "cars" / "test")
    (plain,) = find_sets(data / "apes" / "train")
    assert (plain.name, plain.train, plain.test) == ("train", data / "apes" / "train", None)


def test_faults(data, tmp_path):
    with pytest.raises(SourceError, match="does not exist"):
        find_sets(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="no set ships; it holds apes, cars"):
        find_sets(data, ["cars", "ships"])
    with pytest.raises(ConfigError, match="no set cras; it holds apes, cars"):
        find_sets(data, ["cras"])
    write_picture_folder(data / "loose")
    with pytest.raises(SourceError, match="loose has no train/.*--sets"):
        find_sets(data)
    assert [each.name for each in find_sets(data, ["apes", "cars"])] == ["apes", "cars"]


def test_sets_with_test_pictures_alone_are_not_trained_on(tmp_path):
    for name in ("cars", "apes"):
        write_picture_folder(tmp_path / "data" / name / "test")
    for folder in (tmp_path / "data", tmp_path / "data" / "apes"):
        with pytest.raises(SourceError, match="apes has test/, but no train/"):
            find_sets(folder)
    with pytest.raises(SourceError, match="cars has test/, but no train/"):
        find_sets(tmp_path / "data", ["cars"])
