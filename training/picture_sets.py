"""Which sets of pictures a data folder holds: one folder a set with train/ and perhaps test/, or pictures alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from encoder.errors import ConfigError, SourceError


@dataclass(frozen=True)
class PictureSet:
    """One set.

    Attributes:
        name: of its folder.
        train: folder of the pictures to train on; its sub-folders are labels.
        test: folder of the pictures to measure on; None if there is none.
    """

    name: str
    train: Path
    test: Path | None


def find_sets(data: Path, wanted: Sequence[str] = ()) -> list[PictureSet]:
    """The sets of a folder, by name.

    Args:
        data: a folder of sets (each with train/), one set (with train/), or one folder of pictures.
        wanted: names of the sets to take; all if empty.

    Raises:
        SourceError: there is no such folder, one of its folders is no set while others are, or a set has test pictures
            alone.
        ConfigError: a wanted set is not there.
    """
    if not data.is_dir():
        raise SourceError(f"{data} does not exist or is no folder; give a folder of sets, or of pictures")
    own_name = data.resolve().name.lstrip(".") or "pictures"  # a hidden name would hide its pictures
    if (data / "train").is_dir():
        sets = [_set_of(data, own_name)]
    else:
        folders = sorted(path for path in data.iterdir() if path.is_dir() and not path.name.startswith("."))
        with_train = [path for path in folders if (path / "train").is_dir()]
        strange = [path for path in folders if path not in with_train and (not wanted or path.name in wanted)]
        if with_train and strange:
            raise SourceError(
                f"{strange[0]} has no train/, but {with_train[0]} has; give every set a train/ folder, or name the "
                "sets to take with --sets"
            )
        for path in () if with_train else (data, *strange):
            if (path / "test").is_dir():
                raise SourceError(
                    f"{path} has test/, but no train/, so there is nothing to train on; put the pictures to train on "
                    f"into {path / 'train'}"
                )
        sets = [_set_of(path, path.name) for path in with_train] or [PictureSet(own_name, data, None)]
    missing = sorted(set(wanted) - {each.name for each in sets})
    if missing:
        raise ConfigError(f"{data} holds no set {missing[0]}; it holds {', '.join(each.name for each in sets)}")
    return [each for each in sets if not wanted or each.name in wanted]


def _set_of(folder: Path, name: str) -> PictureSet:
    return PictureSet(name, folder / "train", folder / "test" if (folder / "test").is_dir() else None)
