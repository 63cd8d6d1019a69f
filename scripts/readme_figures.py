"""Writes the figures and outputs of benchmarks/results/ into the README and docs/, between their markers.

python scripts/readme_figures.py            rewrite the documents
python scripts/readme_figures.py --check    exit 1, and say which, if one of them is not what it would write
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import answer_figures
import catalogue_figures
import embedding_choice_figures
import quality_figures
import scale_arithmetic
import serving_figures
import small_data_figures

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def demo_rates() -> str:
    """The table of `benchmarks/demo_rates.py`."""
    rates = json.loads((RESULTS / "demo_rates.json").read_text(encoding="utf-8"))
    rows = [
        f"| {name} | {rate['species']:.1%} | {rate['genus']:.1%} | {rate['within_genus']:.1%} |"
        for name, rate in rates.items()
    ]
    return "\n".join(
        [
            "| encoder | own species first | own genus first | own species first, within the genus |",
            "|---|---|---|---|",
            *rows,
        ]
    )


def chain() -> str:
    """The commands and outputs of `benchmarks/chain.py`."""
    result = json.loads((RESULTS / "chain.json").read_text(encoding="utf-8"))
    steps = [f"$ {step['command']}\n{step['output']}\n" for step in result["steps"]]
    return "```console\n" + "\n".join(steps) + "```"


def encoder_throughput() -> str:
    """The tables of `benchmarks/encoder_throughput.py`."""
    result = json.loads((RESULTS / "encoder_throughput.json").read_text(encoding="utf-8"))
    names = list(result["cells"][0]["pictures_per_s"])
    lines = [
        "| threads, batch | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
        *(
            f"| {cell['threads']}, {cell['batch']} | "
            + " | ".join(f"{cell['pictures_per_s'][name]:.1f}" for name in names)
            + " |"
            for cell in result["cells"]
        ),
    ]
    pruning = result["pruning"]
    lines += [
        "",
        f"{result['encoder']}; pruned: after layer {pruning['after_layer']} {pruning['keep_ratio']:.0%} of patches. "
        f"Geometric mean over the cells: fp32 / best of the others {result['fp32_over_best_other']:.2f}, int8 / fp32 "
        f"{result['int8_over_fp32']:.2f}, pruned / fp32 {result['pruned_over_fp32']:.2f}. OpenVINO runs our graph.",
    ]
    if "trained" in result:
        lines += ["", *_pruning_curve(result["trained"])]
    return "\n".join(lines)


def _pruning_curve(trained: dict[str, Any]) -> list[str]:
    chosen, variants = trained["chosen"], trained["variants"]
    rows = [
        f"| {row['after_layer']} | {row['keep_ratio']:.0%} | {row['cost']:.0%} | {row['mAP_ratio']:.3f} | "
        f"{row['mean_cosine']:.3f} |"
        for row in trained["curve"]
        if row["keep_ratio"] in (0.2, 0.3, 0.5, 0.7)
    ]
    return [
        f"What pruning costs an encoder trained on {trained['trained_on']}, on {trained['pictures']} other pictures "
        f"(mAP, leave one out, as a share of the dense encoder's {variants['pruned']['mAP_fp32']:.3f}):",
        "",
        "| after layer | patches kept | work of the layers | mAP | mean cosine |",
        "|---|---|---|---|---|",
        *rows,
        "",
        f"`--prune auto` took {chosen['after_layer']}:{chosen['keep_ratio']}: mAP {variants['pruned']['ratio']:.3f} of "
        f"the dense encoder's at {trained['pruned_over_fp32']['median']:.2f} times its speed. int8: mAP "
        f"{variants['int8']['ratio']:.3f}, cosine at least {variants['int8']['cosine_min']:.4f}.",
    ]


def training_step() -> str:
    """The table of `benchmarks/training_step.py`."""
    result = json.loads((RESULTS / "training_step.json").read_text(encoding="utf-8"))
    names = {
        "published": "published step",
        "zero": "`zero`",
        "drop": "`drop`",
        "plain_moco_v3": "MoCo v3, plain",
        "moco_v3": "MoCo v3, ours",
    }
    batches = result["batches"]
    header = "".join(f" seconds, batch {one['batch']} | peak MiB |" for one in batches)
    lines = [f"| step | GFLOP a picture |{header}", "|---|---|" + "---|---|" * len(batches)]
    for method, name in names.items():
        cells = "".join(
            f" {one['methods'][method]['median_s']:.2f} | {one['methods'][method]['peak_memory_mib']} |"
            for one in batches
        )
        lines.append(f"| {name} | {result['gflop_a_picture'][method]} |{cells}")
    ratios = [
        f"At batch {one['batch']}: `published` / `zero` {one['ratio_zero']:.2f} "
        f"({one['ratio_zero_spread'][0]:.2f} to {one['ratio_zero_spread'][1]:.2f}), `published` / `drop` "
        f"{one['ratio_drop']:.2f} ({one['ratio_drop_spread'][0]:.2f} to {one['ratio_drop_spread'][1]:.2f}), MoCo v3 "
        f"ours / plain {one['moco_v3_over_plain']:.2f}."
        for one in batches
    ]
    about = (
        f"ViT-{result['encoder']}, {result['precision']}, {result['device']}, {result['rounds']} interleaved rounds."
    )
    return "\n".join([*lines, "", " ".join([*ratios, about])])


def pointing() -> str:
    """The table of `benchmarks/pointing.py`."""
    result = json.loads((RESULTS / "pointing.json").read_text(encoding="utf-8"))
    rows = [
        f"| {name} | {one['marks']:.1%} | {one['area']:.1%} | {one['pictures']:.1%} |" for name, one in result.items()
    ]
    return "\n".join(
        [
            "| patches | marks covered | area of the marks | pictures with all marks covered |",
            "|---|---|---|---|",
            *rows,
        ]
    )


Sections = Mapping[str, Callable[[], str]]

DOCUMENTS: dict[str, Sections] = {
    "README.md": {
        "demo_rates": demo_rates,
        "chain": chain,
        "training_step": training_step,
        "pointing": pointing,
        "encoder_throughput": encoder_throughput,
        **catalogue_figures.SECTIONS,
        **answer_figures.SECTIONS,
        **serving_figures.SECTIONS,
        **quality_figures.SECTIONS,
        **small_data_figures.SECTIONS,
        **embedding_choice_figures.SECTIONS,
    },
    "docs/larger-than-one-machine.md": scale_arithmetic.SECTIONS,
}


def generated(name: str, text: str, sections: Sections) -> str:
    """A document with every section between markers made anew."""
    for section, make in sections.items():
        pattern = rf"(<!-- {section}: [^>]*-->\n).*?(<!-- end of {section} -->)"
        text, count = re.subn(
            pattern, lambda match, make=make: f"{match[1]}{make()}\n{match[2]}", text, flags=re.DOTALL
        )
        if count != 1:
            raise SystemExit(f"{name} has {count} sections {section}, expected 1")
    return text


def main() -> int:
    """Rewrite, or check."""
    stale = 0
    for name, sections in DOCUMENTS.items():
        path = ROOT / name
        before = path.read_text(encoding="utf-8")
        after = generated(name, before, sections)
        if before == after:
            continue
        if "--check" in sys.argv[1:]:
            sys.stderr.write(f"{name} has old figures\n")
            stale += 1
        else:
            path.write_text(after, encoding="utf-8")
    return int(stale > 0)


if __name__ == "__main__":
    sys.exit(main())
