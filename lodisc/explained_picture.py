"""A match explained as a picture: query and item side by side, the regions that met in the same colour and number.

The wider a frame, the larger its share among the regions. The item is drawn from its thumbnail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

HEIGHT = 320  # of either picture
GAP = 16
CAPTION = 26
LEAST_WIDTH, MOST_WIDTH = 2, 8  # of a frame
# Told apart by most people who see few colours (Okabe and Ito), and the number says it too.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#ffffff")
_PAPER, _INK = "#ffffff", "#222222"


@dataclass(frozen=True)
class Explained:
    """One match, ready to be drawn.

    Attributes:
        query: the photograph of the query that it fits best, upright.
        item: its thumbnail.
        caption: what it is.
        pairs: as of `index.answers.explanation`.
    """

    query: Image.Image
    item: Image.Image
    caption: str
    pairs: Sequence[Mapping[str, Any]]


def draw_match(explained: Explained) -> Image.Image:
    """Both pictures side by side under a caption."""
    sides = [
        _framed(explained.query, [(pair["query"]["box"], pair["share"]) for pair in explained.pairs]),
        _framed(explained.item, [(pair["item"]["box"], pair["share"]) for pair in explained.pairs]),
    ]
    sheet = Image.new("RGB", (sides[0].width + GAP + sides[1].width, CAPTION + HEIGHT), _PAPER)
    sheet.paste(sides[0], (0, CAPTION))
    sheet.paste(sides[1], (sides[0].width + GAP, CAPTION))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    draw.text((0, 5), "query", _INK, font)
    draw.text((sides[0].width + GAP, 5), explained.caption, _INK, font)
    return sheet


def draw_sheet(matches: Sequence[Explained]) -> Image.Image:
    """Several matches below each other, at least one."""
    drawn = [draw_match(match) for match in matches]
    height = sum(one.height for one in drawn) + GAP * (len(drawn) - 1)
    sheet = Image.new("RGB", (max(one.width for one in drawn), height), _PAPER)
    top = 0
    for one in drawn:
        sheet.paste(one, (0, top))
        top += one.height + GAP
    return sheet


def _framed(picture: Image.Image, boxes: Sequence[tuple[Sequence[float], float]]) -> Image.Image:
    """The picture at HEIGHT with numbered frames; the first, which says most, lies on top."""
    size = (max(1, round(picture.width * HEIGHT / picture.height)), HEIGHT)
    sheet = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    largest = max((share for _, share in boxes), default=0.0) or 1.0
    for number, (box, share) in reversed(list(enumerate(boxes))):
        colour = COLOURS[number % len(COLOURS)]
        width = round(LEAST_WIDTH + (MOST_WIDTH - LEAST_WIDTH) * share / largest)
        left, top, right, bottom = (side * size[at % 2] for at, side in enumerate(box))
        draw.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=width)
        place = (left + width, top + width)
        label = draw.textbbox(place, str(number + 1), font)
        draw.rectangle((place[0], place[1], label[2] + 3, label[3] + 3), fill=colour)
        draw.text(place, str(number + 1), _ink_on(colour), font)
    return sheet


def _ink_on(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return _INK if 299 * red + 587 * green + 114 * blue > 128_000 else _PAPER
