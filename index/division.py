"""How the cores of a machine are divided in bulk indexing.

Threads inside one call of the encoder wait for each other at every layer, so one that loses its core to a decoder holds
up the rest, and all of them spin meanwhile. Calls beside each other do not wait. So on a CPU the cores go to several
calls of few threads; decoding takes its share of the same cores, as much as it needs and no more, because the queues
between are bounded.
"""

import os

from encoder.bundle import Bundle
from encoder.image_encoder import ImageEncoder

MAX_CALLS = 4  # more would hold more activations in memory than they bring


def bulk_encoder(bundle: Bundle, num_threads: int | None = None, variant: str = "fp32") -> tuple[ImageEncoder, int]:
    """The encoder for bulk indexing on this machine's cores, and how many calls of it to make at once.

    Args:
        bundle: what to load.
        num_threads: of the encoder in all; as many as there are cores if None.
        variant: of the bundle.
    """
    num_threads = num_threads or os.cpu_count() or 1
    calls = min(MAX_CALLS, num_threads)
    return ImageEncoder(bundle, num_threads=num_threads // calls, variant=variant), calls
