"""JSON of many numbers: written by orjson, which takes arrays as they are.

The standard library spells each float32 with the seventeen digits of a double, one after another, on the event loop;
orjson writes the shortest text that reads back as the same float32, in a tenth of the time and half the length.
"""

from typing import Any

import orjson
from starlette.responses import JSONResponse


class NumbersResponse(JSONResponse):
    """A JSON answer that may hold contiguous numpy arrays in place of lists."""

    def render(self, content: Any) -> bytes:
        """The text of the answer."""
        return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
