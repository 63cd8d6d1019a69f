"""`report.html`: what became of a run, in one file that needs nothing else to be read.

Made from what the run wrote (log.jsonl, recipe.toml, training.json, labels.txt, masks/, pictures/pictures.json), so it
can be made again at any time and says the same.
"""

import base64
import json
import platform
import tomllib
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from encoder.svg_curve import svg_chart
from training.run_note import read_note
from training.supervision import labels_sentence

REPORT_NAME = "report.html"
LABELS_NAME = "labels.txt"
PACKAGES = ("lodisc", "torch", "numpy", "pillow", "safetensors")
NUM_NAMED = 20
# Title of a chart: the columns of log.jsonl that it shows, by the name of their curve.
CHARTS = {
    "loss": {"Lg (global)": "Lg", "Ll (local)": "Ll"},
    "retrieval on held-out pictures": {"rank-1": "rank_1", "rank-5": "rank_5", "mAP": "mAP"},
    "embedding: spread (0 is collapsed)": {"spread": "embedding_spread"},
    "embedding: effective rank (1 is collapsed)": {"effective rank": "embedding_rank"},
    "learning rate": {"lr": "lr"},
    "momentum of the momentum encoder": {"m": "momentum"},
    "pictures a second": {"pictures/s": "pictures_per_s"},
    "share of time waiting for data": {"waiting": "data_wait_share"},
}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 980px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em }
svg { margin: 0 1em 1em 0; max-width: 100% } svg text { font: 11px system-ui, sans-serif; fill: #444 }
svg text.title { font-size: 13px; font-weight: 600; fill: #222 }
svg .grid { stroke: #e4e4e4 } svg .faint { fill: #999 }
table { border-collapse: collapse } td, th { padding: .15em 1em .15em 0; text-align: left; vertical-align: top }
pre { background: #f6f6f4; padding: 1em; overflow-x: auto } img { max-width: 100% } .faint { color: #777 }
"""


def write_report(run: Path) -> Path:
    """Write `report.html` into the folder of a run from what lies there, and return its path.

    Raises:
        OSError: it cannot be written; a report that is there stays.
    """
    lines = read_log(run / "log.jsonl")
    sections = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{escape(run.resolve().name)}</title><style>{STYLE}</style>",
        f"<h1>Training run {escape(run.resolve().name)}</h1>",
        _summary(lines),
        _labels(run),
        "<h2>Curves</h2>",
        _charts(lines) or "<p class=faint>No epoch is finished yet.</p>",
        _masks(run),
        _skipped(run),
        _recipe(run),
        _versions(),
        "</html>",
    ]
    path = run / REPORT_NAME
    partial = path.with_suffix(".partial")
    try:
        partial.write_text("\n".join(part for part in sections if part) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    return path


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of log.jsonl in order of their steps; of a step that was done twice, the later line.

    A session that was killed may have logged steps which the next one does again. A last line cut short is left out.
    """
    by_step: dict[int, dict[str, Any]] = {}
    if not path.is_file():
        return []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        for later in [step for step in by_step if step >= line["step"]]:
            del by_step[later]
        by_step[line["step"]] = line
    return list(by_step.values())


def _summary(lines: list[dict[str, Any]]) -> str:
    if not lines:
        return ""
    last = lines[-1]
    rows = [
        ("steps", f"{last['step']} (epoch {last['epoch']})"),
        ("time", f"{last['seconds'] / 60:.1f} minutes"),
        ("loss", f"Lg {last['Lg']:.3f}, Ll {last['Ll']:.3f}"),
    ]
    measured = [line for line in lines if "mAP" in line]
    if measured:
        best = max(measured, key=lambda line: line["mAP"])
        rows.append(
            (
                "best checkpoint",
                f"epoch {best['epoch']}: rank-1 {best['rank_1']:.3f}, rank-5 {best['rank_5']:.3f}, "
                f"mAP {best['mAP']:.3f} on pictures held out of training",
            )
        )
    return "<table>" + "".join(f"<tr><th>{name}<td>{escape(value)}" for name, value in rows) + "</table>"


def _charts(lines: list[dict[str, Any]]) -> str:
    charts = []
    for title, curves in CHARTS.items():
        points = {name: [(line["epoch"], line[key]) for line in lines if key in line] for name, key in curves.items()}
        charts.append(svg_chart(title, points))
    return "".join(charts)


def _masks(run: Path) -> str:
    sheets = sorted((run / "masks").glob("epoch-*.png"))
    if not sheets:
        return ""
    shown = [sheets[0], sheets[-1]] if len(sheets) > 1 else sheets
    parts = [
        "<h2>Pivotal patches</h2><p>Where the momentum encoder looks: all patches but the pivotal ones are dimmed. "
        f"{len(sheets)} sheets are in <code>masks/</code>; the first and the last:</p>"
    ]
    for sheet in shown:
        data = base64.b64encode(sheet.read_bytes()).decode()
        epoch = int(sheet.stem.removeprefix("epoch-"))
        alt = f"pivotal patches after epoch {epoch}"
        parts.append(f"<p>after epoch {epoch}<br><img alt='{alt}' src='data:image/png;base64,{data}'></p>")
    return "".join(parts)


def _skipped(run: Path) -> str:
    path = run / "pictures" / "pictures.json"
    if not path.is_file():
        return ""
    rejected = json.loads(path.read_text(encoding="utf-8"))["rejected"]
    if not rejected:
        return ""
    rows = "".join(f"<tr><td>{escape(name)}<td>{escape(reason)}" for name, reason in rejected[:NUM_NAMED])
    more = f"<p>and {len(rejected) - NUM_NAMED} more</p>" if len(rejected) > NUM_NAMED else ""
    return f"<h2>Pictures skipped: {len(rejected)}</h2><table>{rows}</table>{more}"


def _labels(run: Path) -> str:
    """Whether labels were read, and which."""
    recipe, found = run / "recipe.toml", run / LABELS_NAME
    if not recipe.is_file():
        return ""
    values = tomllib.loads(recipe.read_text(encoding="utf-8"))
    sentence = labels_sentence(values, read_note(run).get("earlier", ()))
    which = f"; {found.read_text(encoding='utf-8').strip()}" if found.is_file() else ""
    return f"<p>Labels: {escape(sentence + which)}.</p>"


def _recipe(run: Path) -> str:
    path = run / "recipe.toml"
    return f"<h2>Recipe</h2><pre>{escape(path.read_text(encoding='utf-8'))}</pre>" if path.is_file() else ""


def _versions() -> str:
    rows = [("python", platform.python_version())]
    for package in PACKAGES:
        try:
            rows.append((package, version(package)))
        except PackageNotFoundError:
            rows.append((package, "not installed as a package"))
    return "<h2>Versions</h2><table>" + "".join(f"<tr><th>{name}<td>{escape(text)}" for name, text in rows) + "</table>"
