"""The README's figures of the answers to a search: vote, unknown, photographs, re-ranking, explanations, doctor."""

import json
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent.parent / "benchmarks" / "results" / "answers.json"


def _sets(part: str) -> dict[str, dict[str, Any]]:
    """What was measured, by set, of those that have the part."""
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    return {name: found for name, found in result["sets"].items() if found.get(part)}


def bundles() -> str:
    """Which encoder each set was measured with."""
    sets = _sets("vote")
    names = list(dict.fromkeys(found["bundle_name"] for found in sets.values()))
    of = "; ".join(
        f"{', '.join(key for key, found in sets.items() if found['bundle_name'] == name)}: bundles/{name}"
        for name in names
    )
    return f"{of}. {max(found['date'] for found in sets.values())}."


def answers() -> str:
    """The vote on new pictures, and the score for none of these."""
    lines = [
        "| set, rank | first neighbour | vote | calibration error, before | after | of perfect confidences "
        "| sure of | right of these | strangers: AUROC | at 5 % asked for: accepted | known rejected |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in _sets("vote").items():
        measured = found["vote"]["leave one out"]["on new pictures"]
        for rank, figures in measured.items():
            if "vote" not in figures:
                continue
            vote = figures["vote"]
            sure = f"{figures['accuracy_of_sure']:.0%}" if figures["coverage"] >= 0.005 else "-"
            lines.append(
                f"| {name}, {rank} | {figures['first']:.1%} "
                f"| {vote['value']:.1%} ({vote['low']:.1%}-{vote['high']:.1%}) | {figures['ece_before']:.3f} "
                f"| {figures['ece']:.3f} | {figures['ece_by_chance']:.3f} "
                f"| {figures['coverage']:.0%} | {sure} | {found['unknown']['auroc']:.2f} "
                f"| {found['unknown']['false_acceptance']:.0%} | {found['unknown']['known_rejected']:.0%} |"
            )
    return "\n".join([*lines, "", bundles(), "", by_questions()])


def by_questions() -> str:
    """What calibrating by new pictures is worth, at each set's finest rank."""
    cells = []
    for name, found in _sets("vote").items():
        figures = next(iter(found["vote"]["half of the test pictures"]["on new pictures"].values()))
        cells.append(f"{name} {figures['ece']:.3f} (of perfect ones {figures['ece_by_chance']:.3f})")
    return (
        "Calibrated by half of the test pictures (`--questions`) and asked the other half, the error at the finest "
        f"rank is: {', '.join(cells)}."
    )


def photographs() -> str:
    """Several photographs of one thing, against the plain mean of their embeddings."""
    sets = _sets("photos")
    cells = [name for name in next(iter(sets.values()))["photos"] if name[0] in "23"]
    lines = ["| set | " + " | ".join(cells) + " |", "|---" * (len(cells) + 1) + "|"]
    for name, found in sets.items():
        row = [found["photos"][cell] for cell in cells]
        lines.append(
            f"| {name} | " + " | ".join(f"{one['vote']:.3f} / {one['vote_of_mean']:.3f}" for one in row) + " |"
        )
    return "\n".join(lines)


def rerank() -> str:
    """What pivotal patches bring, and what they cost."""
    lines = ["| set | rank-1 | gain | mAP | gain | ms for 100 |", "|---|---|---|---|---|---|"]
    for name, measured in _sets("rerank").items():
        found, cells = measured["rerank"], []
        for figure in ("rank_1", "mAP"):
            one = found[figure]
            cells += [
                f"{one['cosine']:.3f} → {one['reranked']:.3f}",
                f"{one['gain']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})",
            ]
        lines.append(f"| {name} | {' | '.join(cells)} | {found['ms_for_100']:.1f} |")
    return "\n".join(lines)


NAMES = {
    "explanation": "the explanation",
    "patch_scores": "what the encoder attends to",
    "untrained_patch_scores": "what the untrained network attends to",
    "untrained_influence": "what moves the untrained network most",
    "pixels_alone": "what changes the pixels most, without any encoder",
}


def explanations() -> str:
    """Whether the strongest patch lies on a mark."""
    result = _sets("pointing")["demo"]["pointing"]
    lines = ["| strongest patch by | lies on a mark | touches one |", "|---|---|---|"]
    for key, name in NAMES.items():
        on, touches = result["on_a_mark"][key], result["touches_a_mark"][key]
        lines.append(f"| {name} | {on[0]:.1%} ({on[1]:.1%}-{on[2]:.1%}) | {touches[0]:.1%} |")
    lines.append(f"| chance | {result['on_a_mark']['any_patch']:.1%} | {result['touches_a_mark']['any_patch']:.1%} |")
    return "\n".join(lines)


def doctor() -> str:
    """Planted faults that were found."""
    lines = [
        "| catalogue | rank-1 | wrong labels: precision | recall | the same file again | encoded anew | false copies |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, measured in _sets("doctor").items():
        found = measured["doctor"]
        mean = found["mean"]
        rank_1 = next(iter(found["rank_1"].values()))
        precision = f"{mean['mislabelled_precision']:.2f}" if mean["mislabelled_found"] else "none named"
        lines.append(
            f"| {name} | {rank_1:.2f} | {precision} | {mean['mislabelled_recall']:.2f} "
            f"| {mean['same_file_recall']:.2f} | {mean['encoded_anew_recall']:.2f} "
            f"| {1 - mean['duplicate_precision']:.2f} |"
        )
    return "\n".join(lines)


SECTIONS = {
    "answers": answers,
    "photographs": photographs,
    "rerank": rerank,
    "explanations": explanations,
    "doctor": doctor,
}
