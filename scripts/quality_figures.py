"""The README's figures of what the method is worth: the table, the differences, and what may be said of them."""

import json
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
NAMES = {
    "colour_histogram": "colour histogram",
    "hog_and_colour": "HOG + colour",
    "untrained": "untrained ViT",
    "learnt_stem": "untrained ViT, stem from statistics",
    "moco_v3": "MoCo v3",
    "zero": "LoDisc, zero",
    "drop": "LoDisc, drop",
    "random_mask": "random mask",
    "labels": "LoDisc, drop + labels",
    "drop_rerank": "LoDisc, drop + re-ranking",
}
FIGURES = {
    "rank_1": "rank-1", "rank_5": "rank-5", "mAP": "mAP", "knn_top_1": "kNN top-1", "linear_top_1": "linear top-1",
}  # fmt: skip
HAND_MADE = ("colour_histogram", "hog_and_colour")
# What the paragraph speaks of, and by which figures.
COMPARED = ("rank_1", "mAP")
CLAIMS = (("drop", "moco_v3"), ("zero", "random_mask"), ("moco_v3", "learnt_stem"))

Result = dict[str, Any]
Run = dict[str, Any]


def quality() -> str:
    """Every method on every set: mean and standard deviation over seeds; the interval over pictures of a lone run."""
    return table(_result())


def quality_differences() -> str:
    """The differences between methods, and what they come to."""
    return differences(_result())


def table(result: Result) -> str:
    """The table of a result, and under it how it was made."""
    lines = ["| set | method | " + " | ".join(FIGURES.values()) + " |", "|---" * (2 + len(FIGURES)) + "|"]
    for name, protocol in result["protocols"].items():
        shown = f"{name}: {protocol}"
        for method, runs in methods_of(result, name).items():
            cells = " | ".join(_cell([run["figures"].get(figure) for run in runs]) for figure in FIGURES)
            lines.append(f"| {shown} | {label(method)} | {cells} |")
            shown = ""
    return "\n".join([*lines, "", _about(result), *_above_the_hand_made(result)])


def methods_of(result: Result, name: str) -> dict[str, list[Run]]:
    """The runs of a set by method, in the order of NAMES and bundles last; trained ones with as many pictures."""
    runs = [run for run in result["runs"] if run["set"] == name and run["pictures"] in (0, result["pictures"])]
    found = {method: [run for run in runs if run["method"] == method] for method in NAMES}
    for run in runs:
        if run["method"] not in NAMES:
            found.setdefault(run["method"], []).append(run)
    return {method: of_method for method, of_method in found.items() if of_method}


def label(method: str) -> str:
    """What a method is called in the table."""
    if method in NAMES:
        return NAMES[method]
    name = method.removeprefix("bundle_")
    plain = name.removesuffix("_rerank")
    return f"bundle {plain}" + (" + re-ranking" if plain != name else "")


def differences(result: Result) -> str:
    """Rows are pairs and figures, columns sets."""
    found = result["differences"]
    if not found:
        return "Not measured: no two of these methods have been run with the outcome of each picture kept."
    sets = [name for name in result["protocols"] if any(one["set"] == name for one in found)]
    seeds = {name: sorted({len(one["seeds"]) for one in found if one["set"] == name}) for name in sets}
    heads = [f"{name} ({_seeds(seeds[name])})" for name in sets]
    lines = ["| difference, points | | " + " | ".join(heads) + " |", "|---" * (2 + len(sets)) + "|"]
    for first, second in dict.fromkeys((one["first"], one["second"]) for one in found):
        for figure in COMPARED:
            cells = [_difference(_figure(found, name, first, second, figure)) for name in sets]
            lines.append(f"| {label(first)} − {label(second)} | {FIGURES[figure]} | {' | '.join(cells)} |")
    about = (
        "Paired by test picture; 95 % intervals over pictures and seeds. So few seeds understate what another training "
        "would change, and one says nothing of it."
    )
    return "\n".join([*lines, "", about, *_claims(found)])


def _claims(found: list[Run]) -> list[str]:
    """Of each claim, on how many sets it is sure to hold, or sure not to."""
    told = []
    for first, second in CLAIMS:
        for figure in COMPARED:
            one = [each["figures"][figure] for each in found if (each["first"], each["second"]) == (first, second)]
            if one:
                above, below = sum(each["low"] > 0 for each in one), sum(each["high"] < 0 for each in one)
                unsure = len(one) - above - below
                told.append(
                    f"{label(first)} is above {label(second)} in {FIGURES[figure]} on {above} of {len(one)} sets, "
                    f"below on {below}, and on {unsure} the interval holds 0."
                )
    return ["", " ".join(told)] if told else []


def _above_the_hand_made(result: Result) -> list[str]:
    """Of each bundle, on which sets its intervals lie above those of every hand-made baseline."""
    told: dict[str, list[str]] = {}
    for name in result["protocols"]:
        methods = methods_of(result, name)
        baselines = [methods[method][0]["figures"] for method in HAND_MADE if method in methods]
        for method, runs in methods.items():
            if method.startswith("bundle_") and baselines:
                told.setdefault(method, [])
                own = runs[0]["figures"]
                if all(own[figure]["low"] > each[figure]["high"] for figure in COMPARED for each in baselines):
                    told[method].append(name)
    lines = []
    for method, sets in told.items():
        lines += [
            "",
            f"In rank-1 and mAP {label(method)} lies above both hand-made baselines, with intervals that do not "
            f"overlap, on: {', '.join(sets) or 'no set'}.",
        ]
    return lines


def _about(result: Result) -> str:
    size, runs = result["size"], [run for run in result["runs"] if run["pictures"] == result["pictures"] != 0]
    text = (
        f"Networks: ViT-{size['encoder']}/{size['patch_size']} at {size['image_size']} pixels from nothing, batch "
        f"{size['batch_size']}"
    )
    if runs:
        steps = sorted({run["steps"] for run in runs})
        counts = Counter((run["set"], run["method"]) for run in runs)
        text += f", {result['pictures']} pictures in {_range(steps)} steps, {_seeds(sorted(set(counts.values())))}"
    return (
        f"{text}. Mean ± standard deviation over the seeds; of a lone run, in brackets, the 95 % interval over the "
        f"test pictures. {result['device']}, {result['date']}."
    )


def _seeds(numbers: list[int]) -> str:
    return f"{_range(numbers)} seed{'s' * (numbers != [1])}"


def _range(numbers: list[int]) -> str:
    return str(numbers[0]) if numbers[0] == numbers[-1] else f"{numbers[0]} to {numbers[-1]}"


def _cell(of_seeds: list[dict[str, float] | None]) -> str:
    """Shares as percents; runs that lack the figure are left out."""
    known = [one for one in of_seeds if one is not None]
    if not known:
        return "-"
    values = [100 * one["value"] for one in known]
    if len(known) > 1:
        return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"
    return f"{values[0]:.1f} ({100 * known[0]['low']:.1f}-{100 * known[0]['high']:.1f})"


def _figure(found: list[Run], name: str, first: str, second: str, figure: str) -> dict[str, float] | None:
    for one in found:
        if (one["set"], one["first"], one["second"]) == (name, first, second):
            of_figure: dict[str, float] = one["figures"][figure]
            return of_figure
    return None


def _difference(one: dict[str, float] | None) -> str:
    if one is None:
        return "-"
    return f"{100 * one['value']:+.1f} ({100 * one['low']:+.1f} to {100 * one['high']:+.1f})"


def _result() -> Result:
    result: Result = json.loads((RESULTS / "quality.json").read_text(encoding="utf-8"))
    return result


SECTIONS = {"quality": quality, "quality_differences": quality_differences}
