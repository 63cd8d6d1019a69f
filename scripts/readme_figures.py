"""Writes the figures and outputs of benchmarks/results/ into the README, between its markers.

python scripts/readme_figures.py            rewrite README.md
python scripts/readme_figures.py --check    exit 1 if README.md is not what it would write
"""

import json
import re
import sys
from pathlib import Path

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


SECTIONS = {"demo_rates": demo_rates, "chain": chain}


def generated(readme: str) -> str:
    """The README with every section between markers made anew."""
    for name, make in SECTIONS.items():
        pattern = rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end of {name} -->)"
        readme, count = re.subn(
            pattern, lambda match, make=make: f"{match[1]}{make()}\n{match[2]}", readme, flags=re.DOTALL
        )
        if count != 1:
            raise SystemExit(f"README.md has {count} sections {name}, expected 1")
    return readme


def main() -> int:
    """Rewrite, or check."""
    path = ROOT / "README.md"
    before = path.read_text(encoding="utf-8")
    after = generated(before)
    if "--check" in sys.argv[1:]:
        return int(before != after)
    path.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
