"""Local features for the items of a catalogue that lack them: of their picture files, else of their thumbnails.

It may be interrupted and run again: what is stored stays. The projection is learned from the first items that are
gone through, a sample of all, unless the catalogue has one. A picture is read where it was indexed from or in
a source that is given; where it is gone, or has other content by now, the thumbnail stands in for it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from encoder.errors import ConfigError, PictureError
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess
from index.answers.local_features import PivotalPatches, pivotal_patches_of
from index.answers.local_search import refusal
from index.answers.local_table import PictureOfItem
from index.answers.patch_projection import PatchProjection, learn_projection
from index.locks import writing_alone
from index.progress import CountedProgress
from index.sources.picture import Source
from index.sqlite_catalogue import SqliteCatalogue
from index.verification_pictures import Found, Wanted, find_pictures

BATCH_SIZE = 16
LEARN_FROM = 1000  # pictures; more change the components little
_PAGE = 1000


@dataclass
class LocalReport:
    """What was done.

    Attributes:
        made: items that got features.
        of_thumbnails: of those, whose picture could not be read and whose thumbnail was taken instead.
        failed: items without a picture or a thumbnail that can be read.
        first_reason: why the first picture could not be read.
        learned: whether the projection was learned now.
    """

    made: int = 0
    of_thumbnails: int = 0
    failed: int = 0
    first_reason: str = ""
    learned: bool = False


def make_local_features(
    catalogue: SqliteCatalogue,
    encoder: ImageEncoder,
    *,
    source: Source | None = None,
    fresh: bool = False,
    threads: int = 1,
    quiet: bool = False,
) -> LocalReport:
    """Make the local features of all items that lack them.

    Args:
        catalogue: to go through.
        encoder: that filled it.
        source: where the pictures are now, if not where they were indexed from.
        fresh: learn the projection anew and make all of them anew.
        threads: that read.
        quiet: show no progress.

    Raises:
        ConfigError: the encoder gives no patch features.
        CatalogueBusyError: a bulk run is writing to the catalogue.
    """
    if "tokens" not in encoder.manifest.outputs:
        raise ConfigError(refusal(catalogue))
    report = LocalReport()
    with writing_alone(catalogue.path):
        projection = None if fresh else catalogue.local.projection()
        total = catalogue.count() - (0 if projection is None else catalogue.local.count())
        seen: set[int] = set()
        with CountedProgress("local features", total, quiet=quiet) as progress:
            if projection is None:
                drawn = catalogue.local.sample(LEARN_FROM)
                sample = list(_patches(catalogue, encoder, drawn, source, threads, report))
                if not sample:
                    return report
                projection = learn_projection([patches for _, patches in sample])
                catalogue.local.create(projection)
                _store(catalogue, projection, sample, report)
                report.learned, seen = True, {item.row for item in drawn}
                progress.advance_to(report.made + report.failed)
            rest = (item for item in _lacking(catalogue) if item.row not in seen)
            batches = _patches(catalogue, encoder, rest, source, threads, report)
            while batch := list(islice(batches, BATCH_SIZE)):
                _store(catalogue, projection, batch, report)
                progress.advance_to(report.made + report.failed)
    return report


def _lacking(catalogue: SqliteCatalogue) -> Iterator[PictureOfItem]:
    """The items without features, a page in memory at a time."""
    last = -1
    while page := catalogue.local.lacking(last, _PAGE):
        yield from page
        last = page[-1].row


def _store(
    catalogue: SqliteCatalogue,
    projection: PatchProjection,
    batch: Sequence[tuple[int, PivotalPatches]],
    report: LocalReport,
) -> None:
    report.made += catalogue.local.put([(row, projection.packed(patches)) for row, patches in batch])


def _patches(
    catalogue: SqliteCatalogue,
    encoder: ImageEncoder,
    items: Iterable[PictureOfItem],
    source: Source | None,
    threads: int,
    report: LocalReport,
) -> Iterator[tuple[int, PivotalPatches]]:
    """Rows and pivotal patches of items, in no particular order; what cannot be read is counted."""
    wanted = (Wanted(item.row, item.id, item.source, item.content_hash) for item in items)
    pictures = _pixels(catalogue, find_pictures(wanted, source, threads), encoder, report)
    while batch := list(islice(pictures, BATCH_SIZE)):
        encoded = encoder.encode(np.stack([pixels for _, pixels in batch]), attention=True, tokens=True)
        yield from zip((row for row, _ in batch), pivotal_patches_of(encoded), strict=True)


def _pixels(
    catalogue: SqliteCatalogue, pictures: Iterable[Found], encoder: ImageEncoder, report: LocalReport
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Rows and what the encoder sees of each, shape (S, S, 3)."""
    preprocessing = encoder.manifest.preprocessing
    for found in pictures:
        data = found.data if found.state == "same" else b""
        if not data:
            report.of_thumbnails += 1
            report.first_reason = report.first_reason or f"{found.item.id}: {found.reason or found.state}"
            data = catalogue.thumbnail(found.item.id) or b""
        try:
            picture = decode_picture(data, min_side_wanted=preprocessing.image_size)
        except PictureError as error:
            report.of_thumbnails -= not (found.data and found.state == "same")
            report.failed += 1
            report.first_reason = report.first_reason or f"{found.item.id}: {error.message}"
            continue
        yield found.item.row, preprocess(picture, preprocessing)
