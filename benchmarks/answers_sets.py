"""The labelled sets that answers are measured on, as catalogues of one bundle: SET-train, and SET-test as questions."""

import csv
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.open_catalogue import open_catalogue
from index.vectors import unpack
from lodisc.insects.specimens import write_specimens

RANKS = {
    "demo": ("species", "genus"), "cars": ("model", "make"), "grocery": ("product",), "flowers17": ("species",),
    "monkeys": ("species", "genus"),
}  # fmt: skip
TWO_WORDS = {"AM": "AM_General", "Aston": "Aston_Martin", "Land": "Land_Rover", "Rolls": "Rolls-Royce"}


@dataclass(frozen=True)
class Pictures:
    """Pictures of one split: unit vectors (N, D), labels, and where they are."""

    vectors_ND: NDArray[np.float32]
    labels: list[dict[str, str]]
    paths: list[Path]


@dataclass(frozen=True)
class LabelledSet:
    """A set: its ranks, finest first, the folder of its catalogue, and its splits."""

    name: str
    ranks: tuple[str, ...]
    catalogue: Path
    train: Pictures
    test: Pictures


def open_set(name: str, data: Path, bundle: Path, work: Path) -> LabelledSet:
    """A set, whose catalogues are built in `work` if they are not there."""
    if name == "demo":
        data = write_specimens(work / "insects").parent
    for split in ("train", "test"):
        if not (work / f"{name}-{split}").is_dir():
            _build(name, data / ("insects" if name == "demo" else name) / split, bundle, work / f"{name}-{split}")
    return LabelledSet(
        name, RANKS[name], work / f"{name}-train", _pictures(work / f"{name}-train"), _pictures(work / f"{name}-test")
    )


def _build(name: str, folder: Path, bundle: Path, catalogue: Path) -> None:
    table = catalogue.with_name(f"{catalogue.name}.csv")
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("path", "id", *RANKS[name]))
        writer.writeheader()
        for path in sorted(one for one in folder.rglob("*") if one.is_file()):
            inside = path.relative_to(folder)
            writer.writerow({"path": path, "id": inside.as_posix(), **_labels(name, inside)})
    command = [sys.executable, "-m", "lodisc", "index", "build", str(catalogue), "--images", str(table)]
    command += ["--bundle", str(bundle), "--ranks", ",".join(RANKS[name]), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _labels(name: str, inside: Path) -> Mapping[str, str]:
    folder = inside.parts[0]
    if name == "demo":
        return {"species": f"{folder} {inside.parts[1]}", "genus": folder}
    if name == "cars":
        model = folder.split(".", 1)[1]
        make = model.split("_")[0]
        return {"model": model, "make": TWO_WORDS.get(make, make)}
    if name == "monkeys":
        latin = folder.split(".")[0]
        return {"species": latin, "genus": latin.split("_")[0]}
    return {RANKS[name][0]: folder}


def _pictures(path: Path) -> Pictures:
    with open_catalogue(path) as catalogue:
        records = list(catalogue.records(thumbnails=False))
        vectors_ND = unpack([record.vector for record in records], catalogue.manifest.embedding_dim)
    return Pictures(vectors_ND, [record.item.labels for record in records], [Path(r.item.source) for r in records])
