"""The demo's pictures as a folder: train/ to index and train on, test/ to ask with, marks.csv with the truth.

    DIR/train/Auralis/apicata/00.jpg   DIR/test/Auralis/apicata/18.jpg   DIR/marks.csv   DIR/complete.json

Drawn aside and renamed, so that a drawing that was interrupted is never taken for a whole one.
"""

import csv
import json
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from encoder.errors import SourceError
from lodisc.insects.drawing import DRAWING_VERSION, MarkRegion, draw_specimen
from lodisc.insects.species import SPECIES, Species

SPECIMENS_PER_SPECIES = 24
TRAIN_PER_SPECIES = 18
JPEG_QUALITY = 92
COMPLETE_NAME = "complete.json"
MARKS_NAME = "marks.csv"


def write_specimens(
    directory: Path,
    *,
    specimens_per_species: int = SPECIMENS_PER_SPECIES,
    train_per_species: int = TRAIN_PER_SPECIES,
    workers: int = 2,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw all species into `directory`, or do nothing if the same drawing is already there.

    Args:
        directory: appears when the drawing is whole.
        specimens_per_species: pictures of each species.
        train_per_species: how many of those go to train/; the rest to test/.
        workers: processes.
        on_progress: called with pictures drawn and pictures in all.

    Raises:
        SourceError: something else is at `directory`.
    """
    wanted = {"drawing": DRAWING_VERSION, "specimens": specimens_per_species, "train": train_per_species}
    if directory.exists():
        complete = directory / COMPLETE_NAME
        if complete.is_file() and json.loads(complete.read_text(encoding="utf-8")) == wanted:
            return directory
        if not complete.is_file() and (not directory.is_dir() or any(directory.iterdir())):
            raise SourceError(f"{directory} exists and is not a drawing of the demo; choose another folder")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as folder:
        fresh = Path(folder) / "new"
        fresh.mkdir()
        _draw_all(fresh, specimens_per_species, train_per_species, workers, on_progress)
        (fresh / COMPLETE_NAME).write_text(json.dumps(wanted), encoding="utf-8")
        if directory.exists():
            shutil.rmtree(directory)
        fresh.replace(directory)
    return directory


def specimen_path(species: Species, number: int, train_per_species: int = TRAIN_PER_SPECIES) -> str:
    """Where a specimen is, relative to the demo's folder."""
    part = "train" if number < train_per_species else "test"
    return f"{part}/{species.genus.name}/{species.epithet}/{number:02d}.jpg"


def _draw_all(
    folder: Path,
    specimens_per_species: int,
    train_per_species: int,
    workers: int,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    jobs = [
        (species.number, number, str(folder / specimen_path(species, number, train_per_species)))
        for species in SPECIES
        for number in range(specimens_per_species)
    ]
    for _, _, path in jobs:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        (folder / MARKS_NAME).open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["path", "part", "x", "y", "radius", "visible"])
        for done, ((_, _, path), marks) in enumerate(zip(jobs, pool.map(_draw_one, jobs, chunksize=8), strict=True)):
            relative = Path(path).relative_to(folder).as_posix()
            for mark in marks:
                writer.writerow(
                    [
                        relative,
                        mark.part,
                        f"{mark.x:.1f}",
                        f"{mark.y:.1f}",
                        f"{mark.radius:.1f}",
                        int(mark.visible),
                    ]
                )
            if on_progress is not None:
                on_progress(done + 1, len(jobs))


def _draw_one(job: tuple[int, int, str]) -> list[MarkRegion]:
    species_number, number, path = job
    specimen = draw_specimen(SPECIES[species_number], number)
    specimen.image.save(path, quality=JPEG_QUALITY)
    return specimen.marks
