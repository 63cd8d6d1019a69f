"""Whether the pivotal patches lie on the marks that tell the demo's species apart. Prints one JSON object.

python benchmarks/pointing.py
"""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from lodisc.insects.pointing import measure_pointing
from lodisc.insects.specimens import write_specimens

BUNDLES = Path(__file__).parent.parent / "bundles"
RESULT = Path(__file__).parent / "results" / "pointing.json"


def main() -> None:
    """Draw all specimens, measure those of test/, save and print."""
    with tempfile.TemporaryDirectory() as folder:
        specimens = write_specimens(Path(folder) / "insects")
        bundles = {"bundles/demo": BUNDLES / "demo", "the same network, untrained": BUNDLES / "demo-untrained"}
        pointing = measure_pointing(specimens, bundles)
    result = {name: {key: round(value, 4) for key, value in asdict(one).items()} for name, one in pointing.items()}
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
