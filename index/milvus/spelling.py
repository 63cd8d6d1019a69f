"""Text and numbers spelt so that Milvus compares them as filters mean it, whatever is in them.

A text is its UTF-8 bytes, each as a letter a to p and a letter A to P. The order of such spellings is that of code
points, a part of a text is a part of its spelling and nothing else is (cases alternate), and there is nothing in it
that an expression would have to escape. A number is sixteen hexadecimal digits in the order of doubles, then by how
much a whole number differs from its double, so that 2^53 and 2^53 + 1 differ.
"""

import struct

_HIGH, _LOW = "abcdefghijklmnop", "ABCDEFGHIJKLMNOP"
_SPELT = [f"{_HIGH[byte >> 4]}{_LOW[byte & 15]}" for byte in range(256)]
AFTER_ALL = "q"  # greater than whatever may follow a whole spelling
_INT64 = 2**63


def spelt_text(text: str) -> str:
    """The spelling of a text.

    Raises:
        ValueError: it has half a surrogate pair, which is no text.
    """
    return "".join([_SPELT[byte] for byte in text.encode("utf-8")])


def read_text(spelt: str) -> str:
    """The text of a spelling."""
    pairs = zip(spelt[::2], spelt[1::2], strict=True)
    return bytes(_HIGH.index(high) << 4 | _LOW.index(low) for high, low in pairs).decode("utf-8")


def spelt_number(value: float) -> str:
    """The spelling of a finite number; equal numbers have one, a whole number and a float too."""
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        value = float(value)  # as in SQLite, which knows whole numbers of 64 bits
    nearest = float(value) + 0.0  # -0.0 is 0.0
    rest = value - int(nearest) if isinstance(value, int) else 0  # at most 512
    (bits,) = struct.unpack(">Q", struct.pack(">d", nearest))
    ordered = bits ^ 0xFFFFFFFFFFFFFFFF if bits >> 63 else bits | 1 << 63
    return f"{ordered:016x}{rest + 1000:04d}"
