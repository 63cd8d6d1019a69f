"""The page of an evaluation: one HTML file that needs nothing else, with plots and the thumbnails of what is confused.

No script and nothing from elsewhere; light or dark as the reader's browser is.
"""

# C labels.

import base64
from collections import Counter
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder.bootstrap import Figure
from encoder.svg_curve import svg_chart
from index.catalogue import Catalogue
from index.evaluation import Evaluation, RankEvaluation
from index.evaluation_classes import class_rows, confusion

NUM_CLASSES = 500
NUM_PAIRS = 12
NUM_EXAMPLES = 4  # of one pair
CURVE_KS = 50
CELL = 13
STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #222; --faint: #6b6b6b; --line: #ddd; --cell: #c8553d }
@media (prefers-color-scheme: dark) {
  :root { --back: #16181b; --text: #e6e6e6; --faint: #9a9a9a; --line: #3a3d42; --cell: #e8735a }
  svg polyline, svg circle, svg text[style] { filter: brightness(1.6) }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 980px;
  margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.2em; margin-top: 2.2em } h3 { font-size: 1em; margin-top: 1.6em }
table { border-collapse: collapse } td, th { padding: .2em 1.2em .2em 0; text-align: left; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } tr + tr td { border-top: 1px solid var(--line) }
.faint { color: var(--faint) } .wide { overflow-x: auto }
svg { margin: .8em 1em 1em 0; max-width: 100% } svg text { font: 11px system-ui, sans-serif; fill: var(--faint) }
svg.table { max-width: none } svg text.title { font-size: 13px; font-weight: 600; fill: var(--text) }
svg .grid { stroke: var(--line) } svg .cell { fill: var(--cell) } svg .right { fill: #3f8f5f }
svg .frame { fill: none; stroke: var(--line) }
figure { display: inline-block; margin: 0 1em .6em 0 }
figure img { height: 88px; border-radius: 3px; margin-right: 3px }
figcaption { font-size: 12px; color: var(--faint); max-width: 240px; overflow-wrap: anywhere }
"""


def write_page(path: Path, catalogue: Catalogue, evaluation: Evaluation) -> None:
    """Write the page aside and rename it.

    Args:
        path: of the HTML file.
        catalogue: that was measured; its thumbnails are embedded.
        evaluation: what was measured.

    Raises:
        OSError: it cannot be written; a page that is there stays.
    """
    title = f"Catalogue {catalogue.path.resolve().name}"
    sections = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f"<h1>{escape(title)}</h1>",
        _asked(catalogue, evaluation),
        _figures(evaluation),
        _search(evaluation),
        *(_rank(catalogue, measured) for measured in evaluation.ranks),
        "</html>",
    ]
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text("\n".join(sections) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _asked(catalogue: Catalogue, evaluation: Evaluation) -> str:
    sampled = "" if evaluation.num_queries == evaluation.num_candidates else f", drawn with seed {evaluation.seed}"
    rows = {
        "encoder": f"{catalogue.manifest.name} ({catalogue.manifest.id})",
        "items": f"{evaluation.num_items}" + (f" that satisfy {evaluation.filter}" if evaluation.filter else ""),
        "questions": f"{evaluation.num_queries} of {evaluation.num_candidates} possible ones{sampled}, each against "
        "all other items",
        "neighbours that vote": str(evaluation.k),
        "measured in": f"{evaluation.seconds:.1f} s",
    }
    table = "".join(f"<tr><th>{escape(name)}<td>{escape(value)}" for name, value in rows.items())
    notes = "".join(f"<li>{escape(note)}" for note in evaluation.notes())
    return f"<table>{table}</table>" + (f"<ul class=faint>{notes}</ul>" if notes else "")


def _figures(evaluation: Evaluation) -> str:
    if not evaluation.ranks:
        return ""
    names = list(dict.fromkeys(name for measured in evaluation.ranks for name in measured.figures))
    head = "".join(f"<th class=n>{escape(measured.rank)}" for measured in evaluation.ranks)
    rows = "".join(
        f"<tr><td>{escape(name.replace('_', ' ' if name.startswith('vote') else '-'))}"
        + "".join(f"<td class=n>{_interval(measured.figures.get(name))}" for measured in evaluation.ranks)
        for name in names
    )
    curves = {measured.rank: _found_within(measured) for measured in evaluation.ranks}
    precision = {measured.rank: _precision_by_share(measured) for measured in evaluation.ranks}
    return (
        "<h2>Retrieval</h2><p class=faint>Mean over the questions and its 95 % bootstrap interval.</p>"
        f"<table><tr><th>{head}{rows}</table>"
        + svg_chart("questions with a right answer among the first k", curves, x_name="k")
        + svg_chart("average precision, hardest questions first", precision, x_name="share of the questions")
    )


def _found_within(measured: RankEvaluation) -> list[tuple[float, float]]:
    first_A = measured.results.first_hit_A
    return [(k, float((first_A < k).mean())) for k in range(1, CURVE_KS + 1)] if len(first_A) else []


def _precision_by_share(measured: RankEvaluation) -> list[tuple[float, float]]:
    precision_A = measured.results.average_precision_A
    if not len(precision_A):
        return []
    return [(share / 50, float(np.quantile(precision_A, share / 50))) for share in range(51)]


def _search(evaluation: Evaluation) -> str:
    search = evaluation.search
    rows = {f"recall@{search.k} against exact search": _interval(search.recall)}
    rows |= {f"one search, {name}": f"{value:.2f} ms" for name, value in search.latency_ms.items()}
    table = "".join(f"<tr><td>{escape(name)}<td class=n>{value}" for name, value in rows.items())
    return (
        f"<h2>Live search</h2><p class=faint>{search.num_queries} searches, one after the other from one thread; "
        f"{escape(search.served_by())}.</p><table>{table}</table>"
    )


def _rank(catalogue: Catalogue, measured: RankEvaluation) -> str:
    about = f"{measured.num_labels} labels on {measured.num_items} items"
    alone = measured.results.num_without_positive
    if alone:
        about += f"; {alone} questions have no other item of their label and are not counted"
    parts = [f"<h2>{escape(measured.rank)}</h2><p class=faint>{about}.</p>", _pairs(catalogue, measured)]
    table = confusion(measured)
    if table is not None:
        parts.append(
            "<h3>Who finds whom first</h3><p class=faint>A row is the label of the questions, a column that of the "
            "first neighbour; the stronger the colour, the larger its share of the row.</p>"
            f"<div class=wide>{_heat_map(*table)}</div>"
        )
    return "".join([*parts, _classes(measured)])


def _classes(measured: RankEvaluation) -> str:
    rows = class_rows(measured)
    lines = []
    for row in rows[:NUM_CLASSES]:
        scores = ("", "") if row.rank_1 is None else (f"{row.rank_1:.3f}", f"{row.average_precision:.3f}")
        mistaken = f"{escape(row.mistaken_for)} ({row.times})" if row.mistaken_for is not None else ""
        numbers = "".join(f"<td class=n>{value}" for value in (row.num_items, row.num_queries, *scores))
        lines.append(f"<tr><td>{escape(row.label)}{numbers}<td>{mistaken}")
    left = (
        f"<p class=faint>The first {NUM_CLASSES} of {len(rows)}; --json has all.</p>" if len(rows) > len(lines) else ""
    )
    head = "<tr><th>label" + "".join(f"<th class=n>{name}" for name in ("items", "questions", "rank-1", "AP"))
    table = f"<table>{head}<th>most confused with{''.join(lines)}</table>"
    return f"<h3>Labels, hardest first</h3><div class=wide>{table}</div>{left}"


def _pairs(catalogue: Catalogue, measured: RankEvaluation) -> str:
    """The most confused pairs, each direction for itself, with a question and what it found."""
    wrong = Counter(pair for pair in measured.pairs() if pair[0] != pair[1])
    if not wrong:
        return "<p>No question found another label first.</p>"
    parts = ["<h3>Most confused</h3><p class=faint>Left the question, right what it found first.</p>"]
    for (label, other), times in sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:NUM_PAIRS]:
        examples = [
            ids
            for pair, *ids in zip(measured.pairs(), measured.query_ids, measured.nearest_ids, strict=True)
            if pair == (label, other)
        ][:NUM_EXAMPLES]
        figures = "".join(
            f"<figure>{_thumbnail(catalogue, query)}{_thumbnail(catalogue, nearest)}"
            f"<figcaption>{escape(query)} &rarr; {escape(nearest)}</figcaption></figure>"
            for query, nearest in examples
        )
        parts.append(f"<p><b>{escape(label)}</b> found <b>{escape(other)}</b> first, {times} times</p>{figures}")
    return "".join(parts)


def _thumbnail(catalogue: Catalogue, item_id: str) -> str:
    picture = catalogue.thumbnail(item_id)
    if not picture:  # removed meanwhile, or put in without one
        return ""
    data = base64.b64encode(picture).decode()
    return f"<img alt='{escape(item_id, quote=True)}' src='data:image/webp;base64,{data}'>"


def _heat_map(labels: list[str], table_CC: NDArray[np.int64]) -> str:
    """The table as squares: on the diagonal what is right, elsewhere what is taken for something else."""
    margin = 7 * min(28, max(len(label) for label in labels)) + 8
    size = CELL * len(labels)
    width, height = margin + size + 8, size + margin + 4
    parts = [
        f'<svg class="table" viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="confusion table">',
        f'<rect class="frame" x="{margin}" y="0" width="{size}" height="{size}"/>',
    ]
    for row, label in enumerate(labels):
        name = escape(label if len(label) <= 28 else label[:27] + "…")
        y = row * CELL + CELL - 3
        parts.append(f'<text x="{margin - 5}" y="{y}" text-anchor="end">{name}</text>')
        x = margin + row * CELL + CELL - 3
        turn = f'transform="rotate(-90 {x} {size + 5})"'
        parts.append(f'<text x="{x}" y="{size + 5}" text-anchor="end" {turn}>{name}</text>')
        total = int(table_CC[row].sum())
        for column in np.flatnonzero(table_CC[row]).tolist():
            times = int(table_CC[row, column])
            kind = "right" if row == column else "cell"
            parts.append(
                f'<rect class="{kind}" x="{margin + column * CELL}" y="{row * CELL}" width="{CELL}" height="{CELL}" '
                f'fill-opacity="{0.15 + 0.85 * times / total:.2f}">'
                f"<title>{escape(label)} found {escape(labels[column])} first: {times} of {total}</title></rect>"
            )
    return "".join([*parts, "</svg>"])


def _interval(figure: Figure | None) -> str:
    return (
        ""
        if figure is None
        else f"{figure.value:.3f} <span class=faint>{figure.low:.3f}&ndash;{figure.high:.3f}</span>"
    )
