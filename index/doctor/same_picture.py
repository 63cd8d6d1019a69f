"""Whether two items show one picture: their thumbnails, made small, agree pixel by pixel.

The encoder alone cannot say: what it was not trained to tell apart lies close together too. Measured on five sets of
photographs and drawings: a picture encoded anew as JPEG of quality 30 to 85, or made half as large, correlates with
itself by 0.98 and more (one of 250 by 0.94); the nearest other picture of a set by 0.97 at most, where that is another
photograph of the same shelf.

Not covered: crops, turns and mirrors, which are other pictures here; and pictures of a single colour, of which nothing
can be said.
"""

from functools import lru_cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from index.catalogue import Catalogue

SIDE = 32
SAME = 0.98  # correlation of the pixels
REMEMBERED = 20_000  # small pictures, of 3 kB each
_FLAT = 4.0  # variance of pixels in [0, 255] that is noise


class Pictures:
    """The small pictures of a catalogue's items.

    Args:
        catalogue: that holds the thumbnails.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self.without: set[str] = set()  # ids whose thumbnail is not there or cannot be read
        self._small = lru_cache(REMEMBERED)(self._made_small)

    def same(self, one_id: str, other_id: str) -> bool:
        """Whether two items show one picture; False where one has no thumbnail."""
        one, other = self._small(one_id), self._small(other_id)
        return one is not None and other is not None and correlation(one, other) >= SAME

    def _made_small(self, item_id: str) -> NDArray[np.uint8] | None:
        thumbnail = self._catalogue.thumbnail(item_id)
        try:
            with Image.open(BytesIO(thumbnail or b""), formats=["WEBP"]) as picture:
                small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
        except OSError:
            self.without.add(item_id)
            return None
        return np.asarray(small)


def correlation(one_SS3: NDArray[np.uint8], other_SS3: NDArray[np.uint8]) -> float:
    """Correlation of the pixels of two pictures, in [-1, 1]; near 0 where one is of a single colour.

    Args:
        one_SS3: of any shape.
        other_SS3: of the same shape.
    """
    one, other = one_SS3.astype(np.float64).ravel(), other_SS3.astype(np.float64).ravel()
    one, other = one - one.mean(), other - other.mean()
    spread = np.sqrt(((one**2).mean() + _FLAT) * ((other**2).mean() + _FLAT))
    return float((one * other).mean() / spread)
