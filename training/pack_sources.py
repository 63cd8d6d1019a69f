"""What is to be packed: the picture files of some sets, checked against how they are to be packed."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from encoder.errors import ConfigError, PictureError, SourceError
from encoder.picture_files import folder_label, list_pictures
from encoder.preprocessing import read_picture
from training.measurable import why_not_measurable
from training.packs import PARTS
from training.picture_sets import PictureSet

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PackSettings:
    """How to pack.

    Attributes:
        short_side: larger pictures are shrunk to this, in pixels.
        labelled: keep the labels of training pictures.
        gallery_is_train: sets whose test pictures are searched in their training pictures.
        pack_bytes: most bytes of a pack.
        max_packs: most packs, which decides the quality; None for as many as the quality takes.
        quality: of WebP; the packing's own if None and `max_packs` is too.
    """

    short_side: int
    labelled: bool = False
    gallery_is_train: Sequence[str] = ()
    pack_bytes: int = 55_000_000
    max_packs: int | None = None
    quality: int | None = None


@dataclass(frozen=True)
class File:
    """A picture file of a set."""

    of: PictureSet
    part: str
    path: Path
    label: str | None


@dataclass(frozen=True)
class Source:
    """A picture to be packed."""

    path: Path
    set_name: str
    part: str
    label: str | None
    content: bytes  # hash of the file


def checked_files(sets: Sequence[PictureSet], settings: PackSettings, tell: Callable[[str], None]) -> list[File]:
    """The files of some sets; what of them cannot be measured later is told.

    Raises:
        ConfigError: they cannot be packed as asked.
    """
    _check(sets, settings)
    files = [
        File(each, part, path, folder_label(root, path))
        for each in sets
        for part, root in _parts(each)
        for path in list_pictures(root)
    ]
    _require_a_pack_a_part(settings, files)
    if settings.labelled:
        _require_one_depth(sets, files)
    for line in _not_measurable(sets, settings, files):
        tell(line)
    return files


def fingerprint_of(settings: PackSettings, files: Sequence[File]) -> str:
    """SHA-256, hex, of the settings and of name, size and time of change of every file."""
    stamps = []
    for file in files:
        if file.path.exists():
            name, stat = file.path.relative_to(file.of.train.parent).as_posix(), file.path.stat()
            stamps.append([file.of.name, file.part, name, stat.st_size, stat.st_mtime_ns])
    return hashlib.sha256(json.dumps([asdict(settings), stamps]).encode()).hexdigest()


def sources_of(files: Sequence[File]) -> tuple[list[Source], int, int]:
    """The pictures in the order of their content, set by set.

    Returns:
        The pictures, how many test pictures have no label, and how many are training pictures too.
    """

    def content(path: Path) -> bytes:
        try:
            return hashlib.sha256(read_picture(path)).digest()
        except (PictureError, SourceError):
            return b""  # told when it cannot be decoded

    used = [file for file in files if file.part == "train" or file.label is not None]
    num_unlabelled = len(files) - len(used)
    if num_unlabelled:
        logger.warning("left out %d test pictures that are in no sub-folder, so have no label", num_unlabelled)
    with ThreadPoolExecutor() as pool:
        hashes = pool.map(content, [file.path for file in used])
        sources = [
            Source(file.path, file.of.name, file.part, file.label, digest)
            for file, digest in zip(used, hashes, strict=True)
        ]
    sources.sort(key=lambda one: (PARTS.index(one.part), one.set_name, one.content, one.path))
    return sources, num_unlabelled, _count_shared(sources)


def _count_shared(sources: Sequence[Source]) -> int:
    """Test pictures that are trained on, in whichever set, are no test: say how many there are."""
    trained = {one.content: one.path for one in sources if one.part == "train" and one.content}
    tested = [one for one in sources if one.part == "test"]
    shared = [one for one in tested if one.content in trained]
    if shared:
        logger.warning(
            "%d of %d test pictures are trained on too (the first: %s, as %s), which flatters the figures; leave them "
            "out of one of the two",
            len(shared),
            len(tested),
            shared[0].path,
            trained[shared[0].content],
        )
    return len(shared)


def _check(sets: Sequence[PictureSet], settings: PackSettings) -> None:
    for name in settings.gallery_is_train:
        found = [each for each in sets if each.name == name]
        if not found or found[0].test is None:
            raise ConfigError(f"--train-gallery names {name}, which is no set with a test/ folder here")
    if settings.quality is not None and settings.max_packs is not None:
        raise ConfigError("--quality and --packs exclude each other: the number of packs decides the quality")


def _parts(each: PictureSet) -> Iterator[tuple[str, Path]]:
    yield "train", each.train
    if each.test is not None:
        yield "test", each.test


def _require_a_pack_a_part(settings: PackSettings, files: Sequence[File]) -> None:
    parts = {
        file.part
        for file in files
        if file.part == "train" or file.label is not None or file.of.name in settings.gallery_is_train
    }
    if settings.max_packs is not None and settings.max_packs < len(parts):
        raise ConfigError(
            f"--packs is {settings.max_packs}, but training and test pictures never share a pack: allow at least "
            f"{len(parts)}"
        )


def _require_one_depth(sets: Sequence[PictureSet], files: Sequence[File]) -> None:
    """Labels of all sets are read as one tree, whose deepest folders are the finest rank.

    Raises:
        ConfigError: a set has deeper labels than another, which would have none at the finest rank.
    """
    depths = {
        each.name: max(
            (file.label.count("/") + 1 for file in files if file.of is each and file.part == "train" and file.label),
            default=0,
        )
        for each in sets
    }
    least, most = min(depths, key=depths.__getitem__), max(depths, key=depths.__getitem__)
    if depths[least] != depths[most]:
        raise ConfigError(
            f"the recipe reads labels, which are {depths[most]} folders deep in {most}/train and {depths[least]} in "
            f"{least}/train, so {least} would have none at the finest rank; sort them equally deep, or name the sets "
            "to take with --sets"
        )


def _not_measurable(sets: Sequence[PictureSet], settings: PackSettings, files: Sequence[File]) -> Iterator[str]:
    """A warning of each set whose test pictures cannot be measured: else that would come out only after training.

    Raises:
        ConfigError: a set is to be searched in training pictures without a label.
    """
    for each in sets:
        train, test = (
            [file.label for file in files if file.of is each and file.part == part and file.label is not None]
            for part in PARTS
        )
        is_gallery = each.name in settings.gallery_is_train
        if is_gallery and not train:
            raise ConfigError(
                f"--train-gallery names {each.name}, but no picture in {each.train} lies in a sub-folder, so none has "
                "a label to be found by; give it one sub-folder a label, or leave it out of --train-gallery"
            )
        reason = why_not_measurable(test, train if is_gallery else None)
        if each.test is not None and reason:
            yield f"warning: {each.name} will not be measured: {reason}"
