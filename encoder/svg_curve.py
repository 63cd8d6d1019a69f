"""A line chart as one piece of SVG, for a report that needs no library and no network to be read."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 34, 30
COLOURS = ("#1f6f8b", "#c8553d", "#588157", "#7d4f9e")

Series = Sequence[tuple[float, float]]


def svg_chart(title: str, curves: Mapping[str, Series], *, x_name: str = "epoch") -> str:
    """Draw named curves over a common x axis; "" if there is no point to draw.

    Args:
        title: above the chart.
        curves: points (x, y) of each, in order of x; points that are not finite are left out.
        x_name: what x is.
    """
    finite = {
        name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)] for name, points in curves.items()
    }
    finite = {name: points for name, points in finite.items() if points}
    if not finite:
        return ""
    xs = [x for points in finite.values() for x, _ in points]
    x_ticks = _ticks(min(xs), max(xs))
    ys = [y for points in finite.values() for _, y in points]
    y_ticks = _ticks(min(ys), max(ys))
    to_x = _scale(min(min(xs), x_ticks[0]), max(max(xs), x_ticks[-1]), LEFT, WIDTH - RIGHT)
    to_y = _scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" aria-label="{escape(title)}">',
        f'<text x="{LEFT}" y="14" class="title">{escape(title)}</text>',
    ]
    for y in y_ticks:
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{to_y(y):.1f}" y2="{to_y(y):.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{to_y(y) + 4:.1f}" text-anchor="end">{_label(y)}</text>')
    parts += [f'<text x="{to_x(x):.1f}" y="{HEIGHT - 12}" text-anchor="middle">{_label(x)}</text>' for x in x_ticks]
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 1}" text-anchor="end" class="faint">{escape(x_name)}</text>')
    legend_x = float(LEFT)
    for number, (name, points) in enumerate(finite.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(f"{to_x(x):.1f},{to_y(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        x, y = points[-1]
        parts.append(f'<circle cx="{to_x(x):.1f}" cy="{to_y(y):.1f}" r="2.6" fill="{colour}"/>')
        parts.append(f'<text x="{legend_x:.0f}" y="28" style="fill:{colour}">{escape(name)} {_label(y)}</text>')
        legend_x += 7.0 * (len(name) + len(_label(y)) + 3)
    return "".join([*parts, "</svg>"])


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers from at most `low` to at least `high`."""
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / 4
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _label(value: float) -> str:
    return f"{value:.4g}"
