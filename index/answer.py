"""The document that answers a search, over HTTP and on the command line alike."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from encoder.manifest import Manifest
from index.domain import domain_note
from index.items import Match
from index.vote import vote


def thumbnail_path(item_id: str) -> str:
    """The URL path of an item's thumbnail."""
    return f"/items/{quote(item_id)}/thumbnail"


def answer(
    manifest: Manifest, matches: Sequence[Match], timing_ms: Mapping[str, float], *, domain: str | None
) -> dict[str, Any]:
    """The answer to POST /search.

    Args:
        manifest: of the encoder.
        matches: best first.
        timing_ms: milliseconds by stage.
        domain: of the catalogue.
    """
    return {
        "model": {"id": manifest.id, "dim": manifest.embedding_dim, "name": manifest.name},
        "matches": [
            {
                "id": match.id,
                "score": round(match.score, 6),
                "labels": match.labels,
                "metadata": match.metadata,
                "thumbnail": thumbnail_path(match.id),
            }
            for match in matches
        ],
        "prediction": asdict(vote(matches)),
        "reranked": False,
        "timing_ms": {stage: round(milliseconds, 3) for stage, milliseconds in timing_ms.items()},
        "note": domain_note(manifest, domain),
    }
