import threading
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder.bundle import Bundle
from encoder.image_encoder import Encoded, ImageEncoder
from service.batcher import Batcher


class GatedEncoder(ImageEncoder):
    """The real encoder behind a gate, so that a test decides when the session is free."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.gate = threading.Event()
        self.started = threading.Event()

    def encode(self, pixels_BSS3: NDArray[np.uint8], *, attention: bool = False, tokens: bool = False) -> Encoded:
        self.started.set()
        assert self.gate.wait(30)
        return super().encode(pixels_BSS3, attention=attention, tokens=tokens)


def some_pixels(count: int, side: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_rows_come_back_to_whoever_sent_them(tiny_bundle: Path) -> None:
    encoder = ImageEncoder(Bundle.open(tiny_bundle))
    pixels = some_pixels(20, encoder.manifest.preprocessing.image_size)
    batcher = Batcher(encoder, max_batch=8)
    futures = [batcher.submit(picture, attention=bool(row % 2)) for row, picture in enumerate(pixels)]
    for row, future in enumerate(futures):
        alone = encoder.encode(pixels[row : row + 1], attention=True)
        np.testing.assert_allclose(future.result().embedding_D, alone.embedding_BD[0], atol=1e-6)
        attention_P = future.result().attention_P
        if row % 2:
            np.testing.assert_allclose(attention_P, alone.attention_BP[0], atol=1e-6)
        else:
            assert attention_P is None
    batcher.close()


def test_what_waits_goes_together_and_never_over_the_limit(tiny_bundle: Path) -> None:
    encoder = GatedEncoder(Bundle.open(tiny_bundle))
    sizes: list[int] = []
    batcher = Batcher(encoder, max_batch=4, on_batch=lambda size, _seconds: sizes.append(size))
    pixels = some_pixels(10, encoder.manifest.preprocessing.image_size)
    first = batcher.submit(pixels[0])
    assert encoder.started.wait(30)  # alone, without waiting for company
    rest = [batcher.submit(picture) for picture in pixels[1:]]
    rest[0].cancel()
    encoder.gate.set()
    for future in [first, *rest[1:]]:
        future.result(30)
    batcher.close()
    assert sizes == [1, 4, 4]  # nine were sent, the cancelled one was never encoded


def test_a_failing_run_fails_its_pictures_and_the_next_run_works(tiny_bundle: Path) -> None:
    encoder = ImageEncoder(Bundle.open(tiny_bundle))
    side = encoder.manifest.preprocessing.image_size
    batcher = Batcher(encoder, max_batch=8)
    with pytest.raises(ValueError, match="uint8"):
        batcher.submit(np.zeros((side, side, 3), np.float32)).result(30)  # type: ignore[arg-type]
    assert batcher.submit(np.zeros((side, side, 3), np.uint8)).result(30).embedding_D.shape == (encoder.dim,)
    batcher.close()


def test_close_ends_every_future(tiny_bundle: Path) -> None:
    encoder = GatedEncoder(Bundle.open(tiny_bundle))
    side = encoder.manifest.preprocessing.image_size
    batcher = Batcher(encoder, max_batch=1)
    running = batcher.submit(np.zeros((side, side, 3), np.uint8))
    assert encoder.started.wait(30)
    waiting = batcher.submit(np.zeros((side, side, 3), np.uint8))
    closing = threading.Thread(target=batcher.close)
    closing.start()
    with pytest.raises(CancelledError):
        waiting.result(30)
    encoder.gate.set()
    assert running.result(30).embedding_D.shape == (encoder.dim,)
    closing.join()
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(np.zeros((side, side, 3), np.uint8))
