"""How often held-out specimens of the demo find their own species first, by encoder. Prints one JSON object.

python benchmarks/demo_rates.py
"""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from lodisc.insects.rates import measure
from lodisc.insects.specimens import write_specimens

BUNDLES = Path(__file__).parent.parent / "bundles"
RESULT = Path(__file__).parent / "results" / "demo_rates.json"


def main() -> None:
    """Draw all specimens, measure, save and print."""
    with tempfile.TemporaryDirectory() as folder:
        specimens = write_specimens(Path(folder) / "insects")
        rates = measure(
            specimens, {"bundles/demo": BUNDLES / "demo", "the same network, untrained": BUNDLES / "demo-untrained"}
        )
    result = {name: {key: round(value, 4) for key, value in asdict(rate).items()} for name, rate in rates.items()}
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
