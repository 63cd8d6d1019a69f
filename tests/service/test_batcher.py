import threading
import time
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
        self.lock = threading.Lock()
        self.running = self.most = 0

    def encode(self, pixels_BSS3: NDArray[np.uint8], *, attention: bool = False, tokens: bool = False) -> Encoded:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.started.set()
        assert self.gate.wait(30)
        try:
            return super().encode(pixels_BSS3, attention=attention, tokens=tokens)
        finally:
            with self.lock:
                self.running -= 1


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


def test_many_pictures_share_the_cores_side_by_side_and_few_have_them_all(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    everything, one_core = GatedEncoder(bundle), GatedEncoder(bundle)
    sizes: list[int] = []
    batcher = Batcher(everything, max_batch=8, on_batch=lambda size, _seconds: sizes.append(size))
    batcher.run_side_by_side(one_core, num_cores=2)
    pixels = some_pixels(6, everything.manifest.preprocessing.image_size)
    lone = batcher.submit(pixels[0])
    assert everything.started.wait(30)
    many = [batcher.submit(picture) for picture in pixels[1:5]]
    assert not one_core.started.is_set()  # the lone one has all cores until it is done
    many[0].cancel()
    everything.gate.set()
    lone.result(30)
    assert one_core.started.wait(30)
    deadline = time.monotonic() + 30
    while one_core.running < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert one_core.running == 2
    everything.started.clear()
    one_core.gate.set()
    for row, future in enumerate(many[1:], start=2):
        alone = everything.encode(pixels[row : row + 1])
        np.testing.assert_allclose(future.result(30).embedding_D, alone.embedding_BD[0], atol=1e-6)
    everything.started.clear()
    batcher.submit(pixels[5]).result(30)
    assert everything.started.is_set()
    batcher.close()
    assert one_core.most == 2
    assert sizes == [1] * 5  # six were sent, the cancelled one was never encoded


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
