"""The file of `lodisc search --explain`: a PNG, or an HTML page that needs nothing else."""

import base64
from collections.abc import Callable, Mapping
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from encoder.errors import ConfigError
from encoder.preprocessing import decode_picture
from lodisc.explained_picture import Explained, draw_match, draw_sheet

SUFFIXES = (".png", ".html")
STYLE = """
:root { color-scheme: light dark } body { font: 15px/1.5 system-ui, sans-serif; max-width: 980px; margin: 2em auto;
  padding: 0 1em } img { max-width: 100% } td, th { padding: .1em 1.2em .1em 0; text-align: right }
h2 { font-size: 1.1em; margin-top: 2em; overflow-wrap: anywhere }
"""


def check_target(path: Path) -> None:
    """See that an explanation can be written there, before anything is encoded for it.

    Raises:
        ConfigError: it cannot.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--explain is {path}, expected a name that ends in .png or .html")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--explain is {path}, but there is no folder {path.parent}; make it first")


def write_explanation(
    path: Path, document: Mapping[str, Any], pictures: Mapping[int, bytes], thumbnail: Callable[[str], bytes]
) -> int:
    """Write the explained matches of an answer; return how many there were, 0 writes nothing.

    Args:
        path: of the file.
        document: the answer to the search.
        pictures: the files of the query, by position.
        thumbnail: gives that of an item.

    Raises:
        ConfigError: the file cannot be written.
    """
    explained = [_explained(match, pictures, thumbnail) for match in document["matches"] if match.get("explanation")]
    if not explained:
        return 0
    data = _png(draw_sheet(explained)) if path.suffix.lower() == ".png" else _page(explained).encode()
    fresh = path.with_name(f".{path.name}.partial")
    try:
        fresh.write_bytes(data)
        fresh.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
    return len(explained)


def _explained(match: Mapping[str, Any], pictures: Mapping[int, bytes], thumbnail: Callable[[str], bytes]) -> Explained:
    pairs = match["explanation"]["pairs"]
    number = pairs[0]["query"]["picture"] if pairs else next(iter(pictures))
    name = ", ".join(match["labels"].values()) or match["id"]
    return Explained(
        decode_picture(pictures[number]), decode_picture(thumbnail(match["id"])), f"{name}  {match['score']:.3f}", pairs
    )


def _page(explained: list[Explained]) -> str:
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>Why these matches</title><style>{STYLE}</style>"]
    parts.append("<h1>Why these matches</h1><p>Same number and colour: regions that met. Wider: a larger share.</p>")
    for one in explained:
        picture = base64.b64encode(_png(draw_match(one))).decode("ascii")
        rows = "".join(
            f"<tr><td>{number}</td><td>{pair['query']['patch']}</td><td>{pair['item']['patch']}</td>"
            f"<td>{pair['share']:.1%}</td></tr>"
            for number, pair in enumerate(one.pairs, 1)
        )
        parts.append(
            f'<h2>{escape(one.caption)}</h2><img alt="{escape(one.caption)}" src="data:image/png;base64,{picture}">'
            "<table><tr><th>region</th><th>patch of the query</th><th>of the item</th>"
            "<th>share among the regions</th></tr>"
            f"{rows}</table>"
        )
    return "\n".join(parts)


def _png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
