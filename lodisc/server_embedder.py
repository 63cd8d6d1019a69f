"""A running server as the parity gate asks it: picture files to /embed, its answers as an encoder's own."""

from collections.abc import Callable, Sequence

from encoder.errors import ParityError, PictureError, UndecodablePictureError, UnsupportedFormatError
from encoder.image_encoder import Encoded
from encoder.manifest import Manifest
from encoder.parity import Answers, Embedder
from lodisc.client import Client, PictureEmbedding, PictureProblem, PicturesRefusedError

BATCH = 8


def server_embedder(connect: Callable[[], Client], manifest: Manifest) -> Embedder:
    """Ask a server.

    Args:
        connect: makes a client of it.
        manifest: of the bundle that it should serve.

    Raises:
        ClientError: when asked, if it does not answer.
        ParityError: when asked, if it serves another encoder.
    """

    def ask(pictures: Sequence[bytes], attention: bool) -> list[Encoded | PictureError]:
        try:
            with connect() as client:
                answer = client.embed(pictures, attention=attention)
        except PicturesRefusedError as refusal:
            return [_served(problem) for problem in refusal.pictures]
        if answer.model.id != manifest.id:
            raise ParityError(f"the server serves encoder {answer.model.id}, this bundle is {manifest.id}")
        return [_served(result) for result in answer.results]

    def embed(pictures: Sequence[bytes], attention: bool) -> Answers:
        starts = range(0, len(pictures), BATCH)
        return [one for start in starts for one in ask(pictures[start : start + BATCH], attention)]

    return embed


def _served(result: PictureEmbedding | PictureProblem) -> Encoded | PictureError:
    """One result of /embed as the encoder itself would give it."""
    if isinstance(result, PictureProblem):
        kind = UnsupportedFormatError if result.code == UnsupportedFormatError.code else UndecodablePictureError
        return kind(result.message)
    attention_1P = None if result.attention is None else result.attention.scores_P[None]
    return Encoded(result.embedding_D[None], attention_1P)
