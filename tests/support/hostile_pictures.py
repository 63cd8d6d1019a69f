"""Pictures that nobody should send: flipped, cut, lying about their size, bombs, and files that are two things."""

import random
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from pictures import drawn, file_bytes
from PIL import Image

FLIPS, CUTS, SPLICES = 42, 42, 12


def originals() -> dict[str, bytes]:
    """One small picture of every format and of the layouts that are decoded in ways of their own."""
    picture, second = drawn((60, 90, 200), 3, (40, 32)), drawn((200, 90, 20), 4, (40, 32))
    several = {"save_all": True, "append_images": [second]}
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "jpeg": file_bytes(picture, "JPEG", exif=exif),
        "progressive jpeg": file_bytes(picture, "JPEG", progressive=True),
        "cmyk jpeg": file_bytes(picture.convert("CMYK"), "JPEG"),
        "mpo": file_bytes(picture, "MPO", **several),
        "png": file_bytes(picture, exif=exif),
        "palette png": file_bytes(picture.convert("P")),
        "16-bit png": file_bytes(picture.convert("I;16")),
        "alpha png": file_bytes(picture.convert("RGBA")),
        "apng": file_bytes(picture, **several),
        "webp": file_bytes(picture, "WEBP", exif=exif),
        "lossless webp": file_bytes(picture, "WEBP", lossless=True),
        "animated webp": file_bytes(picture, "WEBP", **several),
        "tiff": file_bytes(picture, "TIFF", exif=exif),
        "lzw tiff": file_bytes(picture, "TIFF", compression="tiff_lzw"),
        "deflated tiff": file_bytes(picture, "TIFF", compression="tiff_adobe_deflate"),
        "jpeg tiff": file_bytes(picture, "TIFF", compression="jpeg"),
        "float tiff": file_bytes(picture.convert("F"), "TIFF"),
        "gif": file_bytes(picture, "GIF"),
        "animated gif": file_bytes(picture, "GIF", **several),
        "bmp": file_bytes(picture, "BMP"),
        "palette bmp": file_bytes(picture.convert("P"), "BMP"),
    }


def mutated(seed: int) -> Iterator[bytes]:
    """Every original with bits flipped, cut off in every region, and with pieces taken out or put in."""
    chance = random.Random(seed)
    for data in originals().values():
        for turn in range(FLIPS):
            # Half of them in the first bytes, where a file says what it is.
            reach = 64 if turn % 2 else len(data)
            yield flipped(data, chance, reach, chance.choice([1, 2, 8, 32]))
        for cut in range(CUTS):
            yield data[: cut if cut < 12 else len(data) * (cut - 11) // (CUTS - 10)]
        for _ in range(SPLICES):
            start, length = chance.randrange(len(data)), chance.randrange(1, 64)
            put = chance.choice([b"", b"\0" * length, b"\xff" * length, data[:length], chance.randbytes(length)])
            yield data[:start] + put + data[start + chance.choice([0, length]) :]


def flipped(data: bytes, chance: random.Random, reach: int, count: int) -> bytes:
    """Some bits among the first bytes turned over."""
    changed = bytearray(data)
    for _ in range(count):
        changed[chance.randrange(min(reach, len(data)))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    width: int, height: int, rows: bytes = b"\0" * 99, extra: bytes = b"", depth: int = 8, colour: int = 2
) -> bytes:
    """A PNG that says what it is told to say, with right checksums."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(rows, 9)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def sizes_that_lie() -> Iterator[bytes]:
    """Zero, huge and contradictory sizes in each format's header."""
    made = originals()
    for width, height in ((0, 0), (0, 9), (9, 0), (2**31 - 1, 1), (1, 2**31 - 1), (60_000, 60_000), (2**32 - 1,) * 2):
        yield png(width, height)
        bmp = bytearray(made["bmp"])
        bmp[18:26] = struct.pack("<II", width, height)
        yield bytes(bmp)
    for size in ((0, 0), (1, 65_535), (65_535, 65_535)):
        gif, jpeg = bytearray(made["gif"]), bytearray(made["jpeg"])
        gif[6:10] = struct.pack("<HH", *size)
        frame = jpeg.index(b"\xff\xc0")
        jpeg[frame + 5 : frame + 9] = struct.pack(">HH", *size)
        yield from (bytes(gif), bytes(jpeg))
    for name, start, field in (("webp", b"VP8X", b"\xff" * 6), ("lossless webp", b"VP8L", b"\x2f\xff\xff\xff\xff")):
        webp = bytearray(made[name])
        at = webp.index(start) + (12 if start == b"VP8X" else 8)
        webp[at : at + len(field)] = field
        yield bytes(webp)
    yield from (
        tiff_of(width, height) for width, height in ((0, 0), (2**32 - 1, 1), (2**32 - 1, 2**32 - 1), (50_000, 9))
    )


def tiff_of(width: int, height: int, compression: int = 1, strip: bytes = b"\0" * 64, following: int = 0) -> bytes:
    """A TIFF of one strip; `following` is where it says that its next picture is."""
    fields = ((256, width), (257, height), (258, 8), (259, compression), (262, 1), (273, 8), (277, 1), (278, height))
    entries = [*fields, (279, len(strip))]
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries
    )
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory + struct.pack("<I", following)


def bombs(side: int) -> Iterator[bytes]:
    """Small files that unfold: flat pictures of `side` x `side`, text, profiles and frames without end."""
    flat = Image.fromarray(np.zeros((side, side), np.uint8))
    yield png(side, side, bytes((side + 1) * side), colour=0)
    for file_format, options in (
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("JPEG", {}),
    ):
        yield file_bytes(flat.convert("RGB") if file_format == "WEBP" else flat, file_format, **options)
    # The whole of a small picture's data is 30 MB of zeros, 1,000 times what its size asks for.
    yield png(100, 100, bytes(30_000_000))
    squeezed = zlib.compress(bytes(60_000_000), 9)
    text = png_chunk(b"zTXt", b"Comment\0\0" + squeezed)
    for extra in (
        text * 20,
        png_chunk(b"iCCP", b"profile\0\0" + squeezed),
        png_chunk(b"iTXt", b"a\0\1\0\0\0" + squeezed),
    ):
        yield png(9, 9, b"\0" * 300, extra=extra)
    # A directory whose next one is itself, a strip that unfolds to more than it should, one that is not there.
    yield tiff_of(8, 8, following=72)
    yield tiff_of(8, 8, compression=8, strip=zlib.compress(bytes(20_000_000), 9))
    yield tiff_of(1000, 1000)
    frame = Image.new("P", (500, 500))
    yield file_bytes(frame, "GIF", save_all=True, append_images=[Image.new("P", (500, 500), n % 5) for n in range(300)])
    yield originals()["gif"][:-1] + b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0" * 50_000 + b";"
    yield originals()["jpeg"][:2] + b"\xff\xe1\xff\xff" * 60_000 + originals()["jpeg"][2:]


def polyglots(canary_url: str) -> Iterator[bytes]:
    """Files that are two things, or a thing of another program; some name an address that must never be asked."""
    made, url = originals(), canary_url.encode()
    page = b"<html><script>fetch('" + url + b"')</script><img src='" + url + b"'></html>"
    for data in (made["png"], made["jpeg"], made["gif"], made["webp"]):
        yield from (data + page, data + b"PK\3\4" + bytes(64), page + data, b"%PDF-1.7\n" + data, b"\x80\x04" + data)
    yield b"GIF89a/*" + page + b"*/=1;"
    yield b"BM" + page
    yield b'<svg xmlns="http://www.w3.org/2000/svg"><image href="' + url + b'"/></svg>'
    yield b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "' + url + b'">]><svg>&b;</svg>'
    yield b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(" + url + b") run\nshowpage\n"
    yield b"push graphic-context\nviewbox 0 0 9 9\nfill 'url(" + url + b")'\npop graphic-context"
    yield url
    yield b"#EXTM3U\n" + url
    for file_format in ("ICO", "PPM", "TGA", "PCX", "SGI", "JPEG2000", "PDF", "ICNS", "DDS"):
        buffer = BytesIO()
        drawn((1, 2, 3), 0, (32, 32)).save(buffer, file_format)
        yield buffer.getvalue()
    yield from (
        b"",
        b"\0",
        b"\xff" * 999,
        bytes(4096),
        b"id=ImageMagick",
        b"8BPS\0\1" + bytes(99),
        b"\x89HDF\r\n\x1a\n",
    )
