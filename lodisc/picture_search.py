"""`lodisc search` of a catalogue that is a folder: photographs of one thing to the answer that POST /search gives."""

# D embedding dim, S side in pixels.

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.errors import PictureError
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess
from index.answer import answer
from index.answers.asking import ask
from index.answers.explanation import Box, seen_box
from index.answers.follower import CalibrationFollower
from index.answers.influence import with_influence
from index.answers.local_features import PivotalPatches, pivotal_patches_of
from index.answers.local_search import LocalPlan, QueryPicture, add_to_document, plan_local
from index.catalogue import Catalogue
from index.picture_problems import picture_problems, require_one_good


@dataclass(frozen=True)
class _Decoded:
    pixels_SS3: NDArray[np.uint8]
    box: Box


def search_pictures(
    catalogue: Catalogue,
    encoder: ImageEncoder,
    pictures: Sequence[bytes],
    *,
    k: int,
    filter: str | None,
    rerank: bool | None,
    explains: bool,
) -> dict[str, Any]:
    """The answer to POST /search for photographs of one thing.

    Args:
        catalogue: to search.
        encoder: that filled it.
        pictures: the files; those that cannot be decoded are left out and listed in `errors`.
        k: matches wanted.
        filter: among which items; None for all.
        rerank: whether to re-rank; None as it was measured to help.
        explains: whether to explain the first matches.

    Raises:
        PictureError: none of the pictures can be decoded.
        ConfigError: the catalogue cannot re-rank or explain.
        FilterError: the filter cannot be read, or names a field that no item has.
        InputError: the photographs cancel out.
    """
    plan = plan_local(catalogue, rerank=rerank, explains=explains, has_patches=True)
    clock = [time.perf_counter()]
    outcomes = [_decoded(data, position, encoder) for position, data in enumerate(pictures)]
    require_one_good(outcomes)
    good = {position: one for position, one in enumerate(outcomes) if isinstance(one, _Decoded)}
    clock.append(time.perf_counter())
    encoded = {position: _encoded(encoder, one.pixels_SS3, plan) for position, one in good.items()}
    clock.append(time.perf_counter())
    calibration = CalibrationFollower(catalogue.path, catalogue.manifest).current()
    asked = ask(
        catalogue, np.stack([embedding_D for embedding_D, _ in encoded.values()]),
        k=k if plan is None else plan.num_candidates(k), filter=filter, calibration=calibration,
    )  # fmt: skip
    query = {}
    if plan is not None:
        query = plan.photographs(
            {
                position: QueryPicture(patches, good[position].box)
                for position, (_, patches) in encoded.items()
                if patches is not None
            }
        )
        asked = replace(asked, matches=plan.order(asked.matches, query, k))
    clock.append(time.perf_counter())
    timing_ms = {
        stage: (end - start) * 1e3
        for stage, start, end in zip(("decode", "encode", "search"), clock, clock[1:], strict=False)
    }
    document = answer(
        encoder.manifest, asked, timing_ms, domain=catalogue.domain, ranks=catalogue.ranks, calibration=calibration,
        positions=list(good),
    )  # fmt: skip
    if plan is not None:
        add_to_document(document, plan, asked.matches, query)
    if errors := picture_problems(outcomes):
        document["errors"] = errors
    return document


def _decoded(data: bytes, position: int, encoder: ImageEncoder) -> "_Decoded | PictureError":
    preprocessing = encoder.manifest.preprocessing
    try:
        picture = decode_picture(data, min_side_wanted=preprocessing.image_size)
    except PictureError as error:
        error.position = position
        return error
    return _Decoded(preprocess(picture, preprocessing), seen_box(encoder.manifest, picture.width, picture.height))


def _encoded(
    encoder: ImageEncoder, pixels_SS3: NDArray[np.uint8], plan: LocalPlan | None
) -> tuple[NDArray[np.float32], PivotalPatches | None]:
    """The embedding (D,) of one photograph, and its pivotal patches where a plan needs them."""
    if plan is None:
        return encoder.encode(pixels_SS3[None]).embedding_BD[0], None
    if plan.explains:
        return with_influence(encoder, pixels_SS3)
    encoded = encoder.encode(pixels_SS3[None], attention=True, tokens=True)
    return encoded.embedding_BD[0], pivotal_patches_of(encoded)[0]
