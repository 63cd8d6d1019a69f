"""A running server as the parity gate asks it: picture files to /embed, its answers as an encoder's own."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

import numpy as np

from encoder.errors import BundleError, ParityError, PictureError, UndecodablePictureError, UnsupportedFormatError
from encoder.image_encoder import Encoded
from encoder.manifest import Manifest
from encoder.parity import Answers, Embedder

TIMEOUT_S = 60
BATCH = 8


def server_embedder(url: str, manifest: Manifest) -> Embedder:
    """Ask the server at an address.

    Args:
        url: of `lodisc serve`.
        manifest: of the bundle that it should serve.

    Raises:
        BundleError: when asked, if it does not answer.
        ParityError: when asked, if it serves another encoder.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(pictures: Sequence[bytes], attention: bool) -> list[Encoded | PictureError]:
        body = json.dumps({"images": [base64.b64encode(picture).decode() for picture in pictures]}).encode()
        request = urllib.request.Request(
            f"{url.rstrip('/')}/embed?attention={str(attention).lower()}",
            data=body,
            headers={"Content-Type": "application/json"},
        )
        try:
            with opener.open(request, timeout=TIMEOUT_S) as response:
                answer = json.load(response)
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise BundleError(f"{url} did not answer ({error}); is it the address of `lodisc serve`?") from error
        if answer["model"]["id"] != manifest.id:
            raise ParityError(f"{url} serves encoder {answer['model']['id']}, this bundle is {manifest.id}")
        return [_served(result) for result in answer["results"]]

    def embed(pictures: Sequence[bytes], attention: bool) -> Answers:
        starts = range(0, len(pictures), BATCH)
        return [one for start in starts for one in ask(pictures[start : start + BATCH], attention)]

    return embed


def _served(result: dict[str, Any]) -> Encoded | PictureError:
    """One result of /embed as the encoder itself would give it."""
    if "error" in result:
        error = result["error"]
        kind = UnsupportedFormatError if error["code"] == UnsupportedFormatError.code else UndecodablePictureError
        return kind(error["message"])
    scores = result.get("attention")
    attention_1P = None if scores is None else np.array(scores["scores"], np.float32).reshape(1, -1)
    return Encoded(np.array(result["embedding"], np.float32)[None], attention_1P)
