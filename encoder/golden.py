"""golden.json: pictures of every odd kind, and what the network that a bundle was made from makes of each.

With it a bundle is verified anywhere and without torch: decode, preprocess, embed, compare.
"""

# D embedding dim, P patches.

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.errors import BundleCorruptError
from encoder.manifest import GOLDEN_NAME

_STORED = np.dtype("<f4")


@dataclass(frozen=True)
class Reference:
    """A picture and the right answer to it.

    Attributes:
        name: of the picture.
        picture: the file.
        embedding_D: of length 1, float32, shape (D,).
        attention_P: patch scores, float32, shape (P,); None of a network without attention.
    """

    name: str
    picture: bytes
    embedding_D: NDArray[np.float32]
    attention_P: NDArray[np.float32] | None


def golden_document(references: Sequence[Reference]) -> str:
    """The text of golden.json."""
    entries = [
        {
            "name": one.name,
            "picture": base64.b64encode(one.picture).decode(),
            "embedding": _packed(one.embedding_D),
            "attention": None if one.attention_P is None else _packed(one.attention_P),
        }
        for one in references
    ]
    return json.dumps({"pictures": entries}, indent=1) + "\n"


def load_golden(bundle: Path) -> list[Reference]:
    """The references of a bundle.

    Raises:
        BundleCorruptError: golden.json is missing or not as it was written.
    """
    path = bundle / GOLDEN_NAME
    try:
        return [_reference(entry) for entry in json.loads(path.read_text(encoding="utf-8"))["pictures"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleCorruptError(f"{path} cannot be read ({error}); export the bundle again") from error


def _reference(entry: dict[str, Any]) -> Reference:
    attention = entry["attention"]
    return Reference(
        name=entry["name"],
        picture=base64.b64decode(entry["picture"], validate=True),
        embedding_D=_unpacked(entry["embedding"]),
        attention_P=None if attention is None else _unpacked(attention),
    )


def _packed(values: NDArray[np.float32]) -> str:
    return base64.b64encode(values.astype(_STORED).tobytes()).decode()


def _unpacked(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text, validate=True), _STORED).astype(np.float32)
