"""Pictures kept out of training: what a run is measured on while it trains, and chosen by.

Selection never touches a test set. The labels of these pictures are read for measuring; the loss never sees them, with
supervision or without.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from encoder.errors import ConfigError
from training.layouts import Listing


@dataclass(frozen=True)
class Division:
    """A listing in two: what is trained on, and what is held out with its labels."""

    trained: Listing
    held_out: Listing | None


def divide(listing: Listing, data: Path, share: float, seed: int) -> Division:
    """Hold out `share` of the pictures, chosen by the hash of their names and the seed.

    Args:
        listing: all pictures, with labels where `share` is above 0.
        data: the folder that they are named relative to.
        share: in [0, 1); 0 holds nothing out.
        seed: of the choice.

    Raises:
        ConfigError: what would be held out cannot measure retrieval: no label has two of its pictures.
    """
    if share == 0:
        return Division(listing, None)

    def is_held_out(path: Path) -> bool:
        name = f"{seed}/{path.relative_to(data).as_posix()}"
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) < share * 2**64

    held = [is_held_out(path) and label is not None for path, label in zip(listing.paths, listing.labels, strict=True)]
    trained, held_out = _part(listing, held, keep=False), _part(listing, held, keep=True)
    labels = [label for label in held_out.labels if label is not None]
    if len(set(labels)) < 2 or len(labels) == len(set(labels)):
        raise ConfigError(
            f"holdout {share} keeps {len(labels)} labelled pictures of {len(set(labels))} labels out of training, "
            "too few to measure retrieval; sub-folders of --data are the labels, or a --labels file: raise --holdout, "
            "or set it to 0"
        )
    return Division(trained, held_out)


def _part(listing: Listing, held: list[bool], *, keep: bool) -> Listing:
    chosen = [number for number, is_held in enumerate(held) if is_held == keep]
    return Listing(
        [listing.paths[number] for number in chosen],
        [listing.labels[number] for number in chosen],
        listing.cut_bottom_px,
    )


def held_out_digest(paths: Sequence[str], labels: Sequence[str]) -> str:
    """16 hex digits, the same for the same held-out pictures under the same labels."""
    return hashlib.sha256(json.dumps([list(paths), list(labels)]).encode()).hexdigest()[:16]
