"""What an answer is worth: vote, confidence, "none of these", photographs, re-ranking, explanations, doctor; as JSON.

    python benchmarks/answers.py DATA BUNDLE [--sets demo cars] [--parts vote unknown rerank] [--work DIR] [--save]

DATA holds one folder a set with train/ (the catalogue) and test/ (the questions) of one sub-folder a label; the demo's
insects are drawn. A part is a function of a set in a module of its own; `pointing` is of the demo alone, whose marks
are known, and of bundles/demo. With --work the catalogues are kept there. --save adds the parts to the result file one
by one; what it holds of a set by another bundle is dropped.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import answers_doctor
import answers_photos
import answers_pointing
import answers_rerank
import answers_unknown
import answers_vote
from answers_sets import RANKS, LabelledSet, open_set

from encoder.bundle import Bundle

RESULT = Path(__file__).parent / "results" / "answers.json"
PARTS: dict[str, Callable[[LabelledSet, Path, Path], dict[str, Any]]] = {
    "vote": lambda each, _bundle, work: answers_vote.measure(each, work),
    "unknown": lambda each, _bundle, work: answers_unknown.measure(each, work),
    "photos": lambda each, bundle, _work: answers_photos.measure(each, bundle),
    "rerank": lambda each, _bundle, work: _rerank(each, work),
    "doctor": lambda each, _bundle, _work: answers_doctor.measure(each.catalogue),
    "pointing": lambda each, _bundle, _work: _pointing(each),
}


def _rerank(each: LabelledSet, work: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        pair = (each.catalogue, work / f"{each.name}-test")
        return answers_rerank.measure(*pair, Path(folder))


def _pointing(each: LabelledSet) -> dict[str, Any]:
    if each.name != "demo":
        return {}
    with tempfile.TemporaryDirectory() as folder:
        return answers_pointing.measure(Path(folder))


def main() -> None:
    """Measure the parts of the sets that were asked for; what was saved of others stays."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--sets", nargs="+", choices=RANKS, default=list(RANKS))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--work", type=Path, metavar="DIR")
    parser.add_argument("--save", action="store_true")
    args = parser.parse_args()
    result: dict[str, Any] = json.loads(RESULT.read_text()) if args.save and RESULT.is_file() else {"sets": {}}
    manifest = Bundle.open(args.bundle).manifest
    by = {"bundle": manifest.id, "bundle_name": manifest.name}
    with tempfile.TemporaryDirectory() as folder:
        work = args.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        for name in args.sets:
            each = open_set(name, args.data, args.bundle, work)
            found = result["sets"].setdefault(name, {})
            if found.get("bundle") != manifest.id:
                found.clear()  # figures of two encoders don't stand in one row
            for part in args.parts:
                found |= by | {part: PARTS[part](each, args.bundle, work), "date": time.strftime("%Y-%m-%d")}
                if args.save:
                    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
