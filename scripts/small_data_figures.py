"""The README's table of what was tried for few pictures: each row's mean and standard deviation over its seeds."""

import json
import statistics
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent.parent / "benchmarks" / "results" / "small_data.json"
FIGURES = {"rank_1": "rank-1", "mAP": "mAP", "knn_top_1": "kNN top-1", "linear_top_1": "linear top-1"}


def small_data() -> str:
    """The rungs of the ladder, then each option alone on top of it."""
    if not RESULT.is_file():
        return "Not measured yet."
    return table(json.loads(RESULT.read_text(encoding="utf-8")))


def table(result: dict[str, Any]) -> str:
    """The table of a result, and under it how it was made."""
    lines = ["| row | " + " | ".join(FIGURES.values()) + " |", "|---" * (1 + len(FIGURES)) + "|"]
    rows = list(dict.fromkeys(run["row"] for run in result["runs"]))
    for row in rows:
        runs = [run for run in result["runs"] if run["row"] == row]
        lines.append(f"| {row} | " + " | ".join(_cell(runs, figure) for figure in FIGURES) + " |")
    counts = sorted({sum(run["row"] == row for run in result["runs"]) for row in rows})
    seeds = str(counts[0]) if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    about = (
        f"{result['set']} ({result['protocol']}), {result['pictures']} pictures seen a run, {seeds} seeds, in percent, "
        f"mean ± standard deviation. {result['date']}."
    )
    return "\n".join([*lines, "", about])


def _cell(runs: list[dict[str, Any]], figure: str) -> str:
    values = [100 * run["figures"][figure]["value"] for run in runs]
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


SECTIONS = {"small_data": small_data}
