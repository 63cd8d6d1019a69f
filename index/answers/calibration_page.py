"""The page of a calibration: one HTML file that needs nothing else, with a reliability plot of each rank.

No script and nothing from elsewhere; light or dark as the reader's browser is.
"""

from html import escape
from pathlib import Path

from encoder.svg_curve import svg_chart
from index.answers.calibration import Calibration, RankCalibration, UnknownModel
from index.catalogue import Catalogue
from index.evaluation_page import STYLE


def write_page(path: Path, catalogue: Catalogue, calibration: Calibration) -> None:
    """Write the page aside and rename it.

    Args:
        path: of the HTML file.
        catalogue: that was calibrated.
        calibration: what was fitted.

    Raises:
        OSError: it cannot be written; a page that is there stays.
    """
    title = f"Calibration of {catalogue.path.resolve().name}"
    sections = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f"<h1>{escape(title)}</h1>",
        _fitted(catalogue, calibration),
        *(_rank(rank, one, calibration.floor) for rank, one in calibration.ranks.items()),
        _unknown(calibration.unknown),
        "</html>",
    ]
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text("\n".join(sections) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _fitted(catalogue: Catalogue, calibration: Calibration) -> str:
    asked = calibration.asked if calibration.group is None else f"{calibration.asked}, by {calibration.group}"
    return _table(
        {
            "encoder": f"{catalogue.manifest.name} ({calibration.encoder_id})",
            "items": str(calibration.num_items),
            "questions": f"{calibration.num_questions} ({asked})",
            "neighbours that vote": str(calibration.k),
            "temperature": f"{calibration.temperature:.4g}",
            "class size exponent": f"{calibration.class_exponent:g}",
            "floor of a sure answer": f"{calibration.floor:g}",
        }
    )


def _rank(rank: str, one: RankCalibration, floor: float) -> str:
    figures = {
        "questions": f"{one.num_questions}; {one.num_alone} more are alone with their label",
        "first neighbour right": f"{one.first_accuracy:.3f}",
        "vote right": f"{one.accuracy:.3f}",
        "expected calibration error": f"{one.error:.3f} (before {one.error_before:.3f}; by chance alone about "
        f"{one.error_by_chance:.3f})",
        f"sure, at {floor:g}": f"{one.coverage:.1%}",
        "of those right": "-" if one.sure_accuracy is None else f"{one.sure_accuracy:.3f}",
    }
    for num, several in one.several.items():
        figures[f"{num} photographs of one thing: vote right"] = f"{several.accuracy:.3f}"
        figures[f"{num} photographs: expected calibration error"] = (
            f"{several.error:.3f} (as one photograph {several.error_before:.3f}; by chance alone about "
            f"{several.error_by_chance:.3f})"
        )
    curves = {
        "as it is": [(bin_.confidence, bin_.accuracy) for bin_ in one.bins],
        "as it should be": [(0.0, 0.0), (1.0, 1.0)],
    }
    sizes = "".join(
        f"<tr><td class=n>{bin_.confidence:.3f}<td class=n>{bin_.accuracy:.3f}<td class=n>{bin_.num}"
        for bin_ in one.bins
    )
    return (
        f"<h2>{escape(rank)}</h2><p class=faint>Cross-validated: no question was answered by what was fitted on it.</p>"
        + _table(figures)
        + svg_chart("share of right answers by confidence", curves, x_name="confidence")
        + f"<details><summary>bins</summary><table><tr><th class=n>confidence<th class=n>right<th class=n>questions"
        f"{sizes}</table></details>"
    )


def _unknown(model: UnknownModel | None) -> str:
    if model is None:
        return "<h2>None of these</h2><p>No score: it takes three labels with two items each.</p>"
    low, high = model.false_acceptance_interval
    verdict = (
        f"from {model.threshold:.3f} on; {model.false_acceptance:.1%} ({low:.1%} to {high:.1%}) of strangers taken for "
        f"known, {model.known_rejected:.1%} of the known rejected"
    )
    curve = [(acceptance, rejected) for acceptance, rejected in model.curve]
    return (
        "<h2>None of these</h2><p class=faint>A stranger is an item whose whole class is left out; cross-validated by "
        "class.</p>"
        + _table({"AUROC": f"{model.auroc:.3f}", "verdict": verdict, "known and strangers": str(model.num_questions)})
        + svg_chart("known things rejected", {"rejected": curve}, x_name="strangers taken for known")
    )


def _table(rows: dict[str, str]) -> str:
    return f"<table>{''.join(f'<tr><th>{escape(name)}<td>{escape(value)}' for name, value in rows.items())}</table>"
