"""The README's table of embeddings of one run: mean over the sets of what each finds."""

import json
import statistics
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent.parent / "benchmarks" / "results" / "embedding_choice.json"


def embedding_choice() -> str:
    """A row a feature, power and side."""
    if not RESULT.is_file():
        return "Not measured yet."
    return table(json.loads(RESULT.read_text(encoding="utf-8")))


def table(result: dict[str, Any]) -> str:
    """The table of a result, and under it how it was made."""
    names = list(result["protocols"])
    columns = ["train rank-1", "train mAP", "test rank-1", "test mAP", *(f"{name} rank-1 / mAP" for name in names)]
    lines = [
        "| feature | whitening | side | " + " | ".join(columns) + " |",
        "|---" * (3 + len(columns)) + "|",
    ]
    for entry in result["entries"]:
        means = [_mean(entry, split, figure) for split in ("train", "test") for figure in ("rank_1", "mAP")]
        tests = [_both(entry["sets"][name]["test"]) for name in names]
        lines.append(
            f"| `{entry['feature']}` | {entry['power']:g} | {entry['side']} | " + " | ".join(means + tests) + " |"
        )
    about = (
        "In percent; the first four are means over the sets, the rest is of test pictures. Train is leave one out "
        f"everywhere, test as in the table of methods. ViT-{result['encoder']}, one run of {result['step']} steps. "
        f"{result['date']}."
    )
    return "\n".join([*lines, "", about])


def _mean(entry: dict[str, Any], split: str, figure: str) -> str:
    return f"{100 * statistics.mean(one[split][figure] for one in entry['sets'].values()):.1f}"


def _both(found: dict[str, float]) -> str:
    return f"{100 * found['rank_1']:.1f} / {100 * found['mAP']:.1f}"


SECTIONS = {"embedding_choice": embedding_choice}
