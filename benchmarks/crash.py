"""SIGKILL at random instants of real processes that write: what is lost, and what is half there.

    python benchmarks/crash.py [ROUNDS]

Writers that add, delete, update, compact and bulk index are killed in turn, ROUNDS times in all (200 by default), one
after the other at the same five catalogues. Each says in a pipe what it begins and what was acknowledged; the instant
of the kill is drawn evenly over what the operation takes. After each kill: every acknowledged write is there, the one
transaction that may have been under way is there whole or not at all, `verify` finds nothing wrong, and searches are
what brute force over the survivors is. The same seed draws the same operations; the operating system has its share in
where the kill meets them. Prints one JSON object; exits with 1 if a promise was broken.
"""

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

SUPPORT = Path(__file__).parent.parent / "tests" / "support"
RESULT = Path(__file__).parent / "results" / "crash.json"
ROUNDS, TENTHS = 200, 10


def main() -> int:
    """Kill, write the result, and say with the exit code whether everything held."""
    sys.path[:0] = [str(SUPPORT), str(SUPPORT.parent.parent)]
    from killed_writer import KINDS, Campaign  # beside the tests, which do a few of the same rounds
    from pictures import write_picture_folder
    from tiny_encoder import write_tiny_bundle

    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_tiny_bundle(Path(folder) / "bundle")
        photos = write_picture_folder(Path(folder) / "photos", per_label=40)
        campaigns = []
        for kind in KINDS:
            (Path(folder) / kind).mkdir()
            campaigns.append(Campaign(Path(folder) / kind / "catalogue", kind, bundle, photos))
        kills: dict[str, list[Any]] = {kind: [] for kind in KINDS}
        for seed in range(rounds):
            campaign = campaigns[seed % len(KINDS)]
            kill = campaign.kill_once(seed)
            kills[campaign.kind].append(kill)
            for fault in kill.faults:
                sys.stderr.write(f"seed {seed}, {campaign.kind}, at {kill.instant}: {fault}\n")
        survivors = {campaign.kind: len(campaign.truth) for campaign in campaigns}
    every = [kill for of_kind in kills.values() for kill in of_kind]
    result = {
        "benchmark": "crash",
        "rounds": rounds,
        "seeds": [0, rounds - 1],
        "kills_within_an_operation": sum(kill.instant is not None for kill in every),
        "kills_by_tenth_of_the_operation": _by_tenth(every),
        "kills_within_an_unacknowledged_transaction": sum(kill.transaction is not None for kill in every),
        "faults": sum(len(kill.faults) for kill in every),
        "by_operation": {
            kind: {
                "kills": len(of_kind),
                "within_an_operation": sum(kill.instant is not None for kill in of_kind),
                "unacknowledged_transaction": dict(Counter(kill.transaction for kill in of_kind if kill.transaction)),
                "faults": sum(len(kill.faults) for kill in of_kind),
                "items_at_the_end": survivors[kind],
            }
            for kind, of_kind in kills.items()
        },
        "seconds": round(time.monotonic() - started, 1),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))
    return 1 if result["faults"] else 0


def _by_tenth(kills: list[Any]) -> list[int]:
    """How many kills met their operation in each tenth of what it takes."""
    met = Counter(int(kill.instant * TENTHS) for kill in kills if kill.instant is not None)
    return [met[tenth] for tenth in range(TENTHS)]


if __name__ == "__main__":
    sys.exit(main())
