"""What a network in torch makes of picture files: the right answers that everything exported is compared with."""

# N pictures, S side in pixels, D embedding dim.

from collections.abc import Mapping, Sequence

import torch

from encoder.errors import PictureError
from encoder.golden import Reference
from encoder.image_encoder import Encoded
from encoder.parity import Embedder
from encoder.preprocessing import decode_picture, preprocess
from export.network import Network


def references_of(network: Network, pictures: Mapping[str, bytes]) -> list[Reference]:
    """What torch makes of picture files."""
    references = []
    for name, picture in pictures.items():
        encoded = _embed(network, picture)
        attention = encoded.attention_BP
        references.append(
            Reference(name, picture, encoded.embedding_BD[0], None if attention is None else attention[0])
        )
    return references


@torch.inference_mode()
def _embed(network: Network, picture: bytes) -> Encoded:
    preprocessing = network.preprocessing
    decoded = decode_picture(picture, min_side_wanted=preprocessing.image_size)
    pixels_1SS3 = torch.from_numpy(preprocess(decoded, preprocessing)[None].copy())
    embedding_1D, *rest = network.reference(pixels_1SS3)
    return Encoded(embedding_1D.numpy(), rest[0].numpy() if rest else None)


def torch_embedder(network: Network) -> Embedder:
    """The network in torch as the parity gate asks it."""

    def embed(pictures: Sequence[bytes], _attention: bool) -> list[Encoded | PictureError]:
        return [_embed(network, picture) for picture in pictures]

    return embed
