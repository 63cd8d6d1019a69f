"""What a bulk run would do, told before it is done: counts, time and disk.

All pictures are listed. Some, drawn at random, are really indexed into a catalogue that is thrown away, so the estimate
is a measurement of this encoder, these pictures and this machine.
"""

import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from encoder.bundle import Bundle
from encoder.errors import CatalogueNotFoundError
from encoder.image_encoder import ImageEncoder
from index.build import build
from index.disk_map import DiskMap
from index.open_catalogue import open_catalogue
from index.sources.picture import Source, SourcePicture, UnreadablePart
from index.sqlite_catalogue import SqliteCatalogue

SAMPLE = 64


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a bulk run would do.

    Attributes:
        total: pictures of the source.
        known: of those, ids that the catalogue has; whether their content has changed is not looked at.
        new: ids that it does not have.
        not_in_source: items of the catalogue that the source does not have.
        sampled: pictures that were tried.
        unusable: of those, that cannot be decoded.
        pictures_per_s: of the trial.
        limited_by: the stage of the trial that the others waited for.
        seconds: that the new pictures would take.
        disk_bytes: that they would take in the catalogue.
    """

    total: int
    known: int
    new: int
    not_in_source: int
    sampled: int
    unusable: int
    pictures_per_s: float
    limited_by: str | None
    seconds: float
    disk_bytes: int


class _Sample:
    """Some pictures as a source."""

    def __init__(self, location: str, pictures: list[SourcePicture]) -> None:
        self.location, self._pictures = location, pictures
        self.num_pictures: int | None = len(pictures)

    def __iter__(self) -> Iterator[SourcePicture | UnreadablePart]:
        return iter(self._pictures)


def estimate(
    path: Path,
    bundle: Bundle,
    encoder: ImageEncoder,
    source: Source,
    *,
    threads: int | None = None,
    encoder_calls: int = 1,
    batch_size: int = SAMPLE // 8,
    fresh: bool = False,
) -> Estimate:
    """Say what indexing a source into the catalogue at `path` would do; neither is changed.

    Args:
        path: of the catalogue; there may be none yet.
        bundle: of the encoder.
        encoder: as for `index.build.build`, like what follows.
        source: of the pictures.
        threads: that read and decode.
        encoder_calls: at once.
        batch_size: pictures in one; small, so that so few keep all of the encoder busy.
        fresh: as if there were no catalogue.

    Raises:
        EncoderMismatchError: another encoder filled the catalogue.
    """
    with DiskMap() as seen:
        total, sample = _listed(source, seen)
        known, not_in_source = (0, 0) if fresh else _known(path, bundle, seen)
        new = len(seen) - known
    with (
        tempfile.TemporaryDirectory(prefix="lodisc-estimate-") as folder,
        SqliteCatalogue.create(Path(folder) / "catalogue", bundle) as trial,
    ):
        empty_bytes = trial.stats().disk_bytes
        report = build(
                trial, encoder, _Sample(source.location, sample), threads=threads, encoder_calls=encoder_calls,
                batch_size=batch_size, prune=None, quiet=True,
            )  # fmt: skip
        usable = max(1, len(sample) - report.num_rejected)
        item_bytes = (trial.stats().disk_bytes - empty_bytes) / usable
    usable_share = 1 - report.num_rejected / max(1, len(sample))
    rate = len(sample) / max(report.seconds, 1e-9)
    return Estimate(
        total=total,
        known=known,
        new=new,
        not_in_source=not_in_source,
        sampled=len(sample),
        unusable=report.num_rejected,
        pictures_per_s=rate,
        limited_by=report.limited_by,
        seconds=new / rate if sample else 0.0,
        disk_bytes=round(new * usable_share * item_bytes),
    )


def _listed(source: Source, seen: DiskMap) -> tuple[int, list[SourcePicture]]:
    """How many pictures a source has, their ids noted, and a sample in which each has the same chance."""
    chance = random.Random(0)
    total, sample = 0, list[SourcePicture]()
    for picture in source:
        if isinstance(picture, UnreadablePart):
            continue
        total += 1
        seen.add(picture.facts.id)
        if len(sample) < SAMPLE:
            sample.append(picture)
        elif (place := chance.randrange(total)) < SAMPLE:
            sample[place] = picture
    return total, sample


def _known(path: Path, bundle: Bundle, seen: DiskMap) -> tuple[int, int]:
    """Items of the catalogue that the source has, and that it has not."""
    known = missing = 0
    try:
        with open_catalogue(path, encoder_id=bundle.manifest.id) as catalogue:
            for item_id in catalogue.ids():
                if item_id in seen:
                    known += 1
                else:
                    missing += 1
    except CatalogueNotFoundError:
        return 0, 0
    return known, missing
