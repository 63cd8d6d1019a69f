"""Stanford Cars' labels, which come as MATLAB files."""

from pathlib import Path
from typing import Any

from scipy.io import loadmat

from encoder.errors import SourceError


def read_cars_labels(data: Path, split: str) -> tuple[dict[str, str], Path]:
    """The label of each picture of a split by the name of its file, and the file that says so.

    Args:
        data: the folder that the set unpacks to.
        split: "train" or "test".

    Raises:
        SourceError: a file is missing; the message names it.
    """
    names = [str(name) for name in _matlab(_file(data, "cars_meta.mat"), "class_names")]
    path = _file(data, "cars_train_annos.mat" if split == "train" else "cars_test_annos_withlabels.mat")
    return {str(car.fname): names[_class(car) - 1] for car in _matlab(path, "annotations")}, path


def _class(annotation: object) -> int:
    """The field called `class`, which is a word of Python's; 1-based."""
    return int(vars(annotation)["class"])


def _file(data: Path, name: str) -> Path:
    """A .mat file of the set: in devkit/, or beside the folders, where the labelled test file is often put."""
    for path in (data / "devkit" / name, data / name):
        if path.is_file():
            return path
    raise SourceError(f"{data / 'devkit' / name} does not exist; stanford_cars needs it for its labels")


def _matlab(path: Path, variable: str) -> list[Any]:
    """The cells of one variable of a MATLAB file."""
    return list(loadmat(path, squeeze_me=True, struct_as_record=False)[variable])
