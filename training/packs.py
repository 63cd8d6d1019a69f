"""Packs: pictures of several sets as a few plain tar files, to be carried to a machine that trains.

    packs.json       which packs there are, with the SHA-256 of each, and what they hold
    train-000.tar    train/SET-000012.webp; train/SET/LABEL/000012.webp where the recipe reads labels
    test-000.tar     test/SET/LABEL/000012.webp; gallery/SET.json: the label of each training picture of a set whose
                     training pictures are what its test pictures are searched in

A label is a folder, as everywhere in this project, so any tar program unpacks a set that `lodisc` understands. A pack
of unlabelled training pictures says nothing of their labels: they are numbered in the order of a hash of their content.
`training.packing` writes packs; here they are read.
"""

import dataclasses
import hashlib
import json
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from encoder.errors import ConfigError, LodiscError, SourceError
from encoder.own_folder import is_foreign, work_folder
from encoder.strict_json import read_typed

INDEX_NAME = "packs.json"
FORMAT_VERSION = 1
PARTS = ("train", "test")
GALLERY = "gallery"
UNFINISHED = "[]"  # of no packs: the folder is ours, and what is in it is not whole


@dataclass(frozen=True)
class PackFile:
    """One pack.

    Attributes:
        file: its name, which begins with its part.
        sha256: hex.
        num_bytes: of the file.
        num_pictures: in it.
    """

    file: str
    sha256: str
    num_bytes: int
    num_pictures: int


@dataclass(frozen=True)
class PackedSet:
    """One set.

    Attributes:
        name: of the set.
        num_train: pictures to train on.
        num_test: pictures to measure on.
        gallery_is_train: whether test pictures are searched in the training pictures; else leave one out in test.
    """

    name: str
    num_train: int
    num_test: int
    gallery_is_train: bool


@dataclass(frozen=True)
class PackIndex:
    """What packs.json says.

    Attributes:
        format_version: of this file.
        fingerprint: of the settings and of the files that were packed.
        short_side: to which larger pictures were shrunk, in pixels.
        quality: of WebP, 1 to 100.
        labelled: whether the training packs hold labels.
        sets: in the order of their names.
        num_left_out: files that could not be decoded, or test pictures without a label.
        num_trained_too: test pictures whose file is a training picture's too; None in packs from before it was counted.
        packs: the files.
    """

    format_version: int
    fingerprint: str
    short_side: int
    quality: int
    labelled: bool
    sets: list[PackedSet]
    num_left_out: int
    num_trained_too: int | None
    packs: list[PackFile]

    @property
    def num_train(self) -> int:
        """Training pictures of all sets."""
        return sum(each.num_train for each in self.sets)

    @property
    def num_bytes(self) -> int:
        """Of all packs."""
        return sum(pack.num_bytes for pack in self.packs)

    def digest(self, part: str = "train") -> str:
        """12 hex digits by which the pictures of a part are known wherever they lie."""
        return hashlib.sha256("\n".join(pack.sha256 for pack in self.of(part)).encode()).hexdigest()[:12]

    def of(self, part: str) -> list[PackFile]:
        """The packs of a part."""
        return [pack for pack in self.packs if pack.file.startswith(f"{part}-")]


def write_index(index: PackIndex, folder: Path) -> None:
    """Write packs.json."""
    (folder / INDEX_NAME).write_text(json.dumps(dataclasses.asdict(index), indent=1) + "\n", encoding="utf-8")


def read_index(folder: Path) -> PackIndex:
    """Read packs.json.

    Raises:
        SourceError: there is none, or it is not as it was written.
    """
    path = folder / INDEX_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SourceError(
            f"{folder} holds no {INDEX_NAME}; pack pictures with --data DIR, or copy the packs"
        ) from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read ({error}); copy the packs again, or pack again") from error
    try:
        if isinstance(document, dict):
            document = {"num_trained_too": None, **document}
        index: PackIndex = read_typed(PackIndex, document, str(path), "packs")
    except LodiscError as error:
        raise SourceError(f"{error}; copy the packs again, or pack again") from error
    if index.format_version > FORMAT_VERSION:
        raise SourceError(
            f"{path} has format_version {index.format_version}, this program reads up to {FORMAT_VERSION}; "
            "update lodisc"
        )
    return index


def unpack(folder: Path, part: str, out: Path) -> Path:
    """Unpack one part into `out`, or leave what is there if it is of the same packs, and return `out/PART`.

    Every unpacking gives files of the same names, sizes and times, so that decoded pictures are reused.

    Args:
        folder: of packs.json.
        part: of PARTS.
        out: where `train/`, `test/` and `gallery/` appear.

    Raises:
        SourceError: a pack is missing or is not the one that packs.json describes, or the part is empty.
        ConfigError: `out` holds something else.
    """
    packs = read_index(folder).of(part)
    if not packs:
        raise SourceError(f"{folder} has no {part} packs; pack a data folder whose sets have {part}/")
    for pack in packs:
        require_whole(folder / pack.file, pack)
    marker, wanted = out / f"{part}.json", json.dumps([pack.sha256 for pack in packs])
    if marker.is_file() and marker.read_text(encoding="utf-8") == wanted and (out / part).is_dir():
        return out / part
    if is_foreign(out, *(f"{each}.json" for each in PARTS)):
        raise ConfigError(f"{out} holds something else than unpacked packs; choose another --out, or move it away")
    out.mkdir(parents=True, exist_ok=True)
    marker.write_text(UNFINISHED, encoding="utf-8")
    with work_folder(out / f".{part}") as work:
        for pack in packs:
            with tarfile.open(folder / pack.file) as tar:
                tar.extractall(work, filter="data")
        for fresh in sorted(work.iterdir()):
            shutil.rmtree(out / fresh.name, ignore_errors=True)
            fresh.rename(out / fresh.name)
    marker.write_text(wanted, encoding="utf-8")
    return out / part


def gallery_labels(pictures: Path, name: str) -> dict[str, str]:
    """The label of each training picture of an unlabelled set, by file name, from the unpacked test packs."""
    labels: dict[str, str] = json.loads((pictures / GALLERY / f"{name}.json").read_text(encoding="utf-8"))
    return labels


def require_whole(path: Path, pack: PackFile) -> None:
    """Compare a pack with what packs.json says of it.

    Raises:
        SourceError: it is missing or damaged.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        num_bytes = path.stat().st_size
    except OSError as error:
        raise SourceError(f"pack {path} cannot be read ({error.strerror}); copy it again, or pack again") from error
    if found != pack.sha256:
        raise SourceError(
            f"pack {path} is damaged: it has {num_bytes} bytes with sha256 {found[:16]}..., {INDEX_NAME} says "
            f"{pack.num_bytes} bytes with {pack.sha256[:16]}...; copy it again, or pack again"
        )
