"""Pictures into packs: shrunk, encoded as WebP, without their names, and without their labels where none is read.

The same pictures and settings give the same packs, byte for byte, on one version of Pillow.
"""

import io
import json
import logging
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from encoder.errors import ConfigError, PictureError, SourceError
from encoder.own_folder import is_foreign, replace_folder, work_folder
from encoder.preprocessing import decode_picture, read_picture
from training.pack_sources import PackSettings, Source, checked_files, fingerprint_of, sources_of
from training.pack_writer import TAR_BLOCK, TAR_END, PackWriter
from training.packs import (
    FORMAT_VERSION,
    GALLERY,
    INDEX_NAME,
    PARTS,
    PackedSet,
    PackFile,
    PackIndex,
    read_index,
    require_whole,
    write_index,
)
from training.picture_sets import PictureSet

logger = logging.getLogger(__name__)

DEFAULT_QUALITY = 90
QUALITIES = (20, 95)  # least and greatest that a search tries
NUM_SAMPLE = 200
NUM_NAMED = 10
WEBP_MAX_SIDE = 16383


def pack_sets(
    sets: Sequence[PictureSet],
    settings: PackSettings,
    folder: Path,
    *,
    may_replace: bool = True,
    tell: Callable[[str], None] = lambda _: None,
) -> PackIndex:
    """Write the packs of some sets into `folder`, or leave what is there if it is of the same files and settings.

    Args:
        sets: what to pack.
        settings: how.
        folder: of packs.json.
        may_replace: whether packs of other files or settings there may be replaced.
        tell: called with a line before each step that takes long.

    Raises:
        SourceError: a set has no pictures, or too many cannot be decoded.
        ConfigError: the pictures do not fit as asked, a gallery set is not one of the sets or has no labels, or
            `folder` holds other packs that may not be replaced, or something else.
    """
    files = checked_files(sets, settings, tell)
    fingerprint = fingerprint_of(settings, files)
    if is_foreign(folder, INDEX_NAME):
        raise ConfigError(f"{folder} holds something else than packs; choose another --out, or move it away")
    found = _found_packs(folder)
    if found is not None and found.fingerprint == fingerprint and _are_whole(found, folder):
        tell(f"the packs in {folder} are of these pictures already")
        return found
    if not may_replace and (found is None or found.fingerprint != fingerprint):
        raise ConfigError(
            f"{folder} holds no packs of these pictures and settings, but the run beside it was trained on some; "
            "choose another --out, or leave out --data to go on with what is there"
        )
    tell(f"reading {len(files)} pictures of {', '.join(each.name for each in sets)}")
    sources, num_unlabelled, num_trained_too = sources_of(files)
    quality = _first_quality(sources, settings, tell)
    folder.parent.mkdir(parents=True, exist_ok=True)
    while True:
        tell(f"encoding {len(sources)} pictures, short side {settings.short_side}, WebP quality {quality}")
        with work_folder(folder.with_name(f".{folder.name}.new")) as fresh:
            packed, num_failed, packs = _write(sources, settings, quality, fresh)
            if settings.max_packs is not None and len(packs) > settings.max_packs and quality > QUALITIES[0]:
                quality = max(QUALITIES[0], quality - 3)
                continue
            _require_fit(packs, settings, quality)
            index = PackIndex(
                FORMAT_VERSION, fingerprint, settings.short_side, quality, settings.labelled,
                [_packed_set(each, packed, settings) for each in sets], num_failed + num_unlabelled, num_trained_too,
                packs,
            )  # fmt: skip
            write_index(index, fresh)
            replace_folder(folder, fresh)
            return index


def _found_packs(folder: Path) -> PackIndex | None:
    """What packs.json says of the packs that are there; None if there are none, or if it cannot be read."""
    if not (folder / INDEX_NAME).is_file():
        return None
    try:
        return read_index(folder)
    except SourceError as error:
        logger.warning("packing again: %s", error)
        return None


def _are_whole(index: PackIndex, folder: Path) -> bool:
    try:
        for pack in index.packs:
            require_whole(folder / pack.file, pack)
    except SourceError as error:
        logger.warning("packing again: %s", error)
        return False
    return True


def _first_quality(sources: Sequence[Source], settings: PackSettings, tell: Callable[[str], None]) -> int:
    """The quality asked for; or by bisection the greatest at which samples of each part say that the packs suffice."""
    if settings.max_packs is None:
        return settings.quality or DEFAULT_QUALITY
    room = max(1, settings.pack_bytes - TAR_END)
    low, high = QUALITIES
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while low < high:
            middle = (low + high + 1) // 2
            num_packs, num_bytes = 0, 0.0
            for part in PARTS:
                of_part = [one for one in sources if one.part == part]
                sample = of_part[:: max(1, len(of_part) // NUM_SAMPLE)]
                encoded = pool.map(lambda one, quality=middle: _encode(one, settings.short_side, quality), sample)
                sizes = [TAR_BLOCK * (1 + math.ceil(len(one) / TAR_BLOCK)) for one in encoded if one is not None]
                expected = sum(sizes) / max(1, len(sizes)) * len(of_part)
                num_packs, num_bytes = num_packs + math.ceil(expected / room), num_bytes + expected
            tell(
                f"WebP quality {middle}: about {num_bytes / 1e6:.1f} MB in {num_packs} packs, "
                f"at most {settings.max_packs} asked for"
            )
            low, high = (middle, high) if num_packs <= settings.max_packs else (low, middle - 1)
    return low


def _encode(source: Source, short_side: int, quality: int) -> bytes | None:
    """The picture as WebP without metadata; None if it cannot be decoded."""
    try:
        data = read_picture(source.path)
        picture = decode_picture(data, min_side_wanted=short_side)
    except (PictureError, SourceError):
        return None
    scale = min(short_side / min(picture.size), WEBP_MAX_SIDE / max(picture.size))
    if scale < 1:
        size = tuple(max(1, round(side * scale)) for side in picture.size)
        picture = picture.resize((size[0], size[1]), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality)
    encoded = buffer.getvalue()
    # Encoding a small WebP again would make it worse, and seldom smaller. "VP8 " first: it has no metadata.
    is_plain_webp = data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8 "
    return data if scale >= 1 and is_plain_webp and len(data) <= len(encoded) else encoded


def _write(
    sources: Sequence[Source], settings: PackSettings, quality: int, folder: Path
) -> tuple[list[Source], int, list[PackFile]]:
    """Encode all and write them; what was packed, how many could not be, and the packs."""
    packed: list[Source] = []
    failed: list[Path] = []
    packs: list[PackFile] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in PARTS:
            writer = PackWriter(folder, part, settings.pack_bytes)
            numbers: dict[str, int] = {}
            galleries: dict[str, dict[str, str]] = {name: {} for name in settings.gallery_is_train}
            of_part = [one for one in sources if one.part == part]
            encoded = pool.map(lambda one: _encode(one, settings.short_side, quality), of_part)
            for source, picture in zip(of_part, encoded, strict=True):
                if picture is None:
                    failed.append(source.path)
                    continue
                number = numbers[source.set_name] = numbers.get(source.set_name, -1) + 1
                name = _member_name(source, number, settings.labelled)
                writer.add(name, picture)
                packed.append(source)
                if part == "train" and source.label is not None and source.set_name in galleries:
                    galleries[source.set_name][Path(name).name] = source.label
            if part == "train":
                train_galleries = galleries
            elif not settings.labelled:
                for set_name, labels in train_galleries.items():
                    writer.add(f"{GALLERY}/{set_name}.json", json.dumps(labels, indent=0).encode(), is_picture=False)
            packs += writer.close()
    _report_failed(failed, len(sources))
    return packed, len(failed), packs


def _member_name(source: Source, number: int, labelled: bool) -> str:
    if source.label is None or (source.part == "train" and not labelled):
        return f"{source.part}/{source.set_name}-{number:06d}.webp"
    return f"{source.part}/{source.set_name}/{source.label}/{number:06d}.webp"


def _report_failed(failed: Sequence[Path], num_all: int) -> None:
    """Name pictures that cannot be decoded.

    Raises:
        SourceError: they are more than a tenth.
    """
    if len(failed) > 0.1 * num_all:
        raise SourceError(
            f"{len(failed)} of {num_all} pictures cannot be decoded (the first: {failed[0]}); mend or remove them"
        )
    for path in failed[:NUM_NAMED]:
        logger.warning("left out %s, which cannot be decoded", path)
    if len(failed) > NUM_NAMED:
        logger.warning("left out %d more", len(failed) - NUM_NAMED)


def _packed_set(each: PictureSet, packed: Sequence[Source], settings: PackSettings) -> PackedSet:
    num_train, num_test = (sum(one.set_name == each.name and one.part == part for one in packed) for part in PARTS)
    return PackedSet(each.name, num_train, num_test, each.name in settings.gallery_is_train)


def _require_fit(packs: Sequence[PackFile], settings: PackSettings, quality: int) -> None:
    if settings.max_packs is not None and len(packs) > settings.max_packs:
        raise ConfigError(
            f"the pictures take {len(packs)} packs of {settings.pack_bytes / 1e6:g} MB even at WebP quality {quality}, "
            f"at most {settings.max_packs} were asked for; allow more with --packs, or lower --short-side"
        )
