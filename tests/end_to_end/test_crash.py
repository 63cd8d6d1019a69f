"""SIGKILL of real writers at instants within their work; `benchmarks/crash.py` does the same two hundred times."""

import pytest
from killed_writer import KINDS, Campaign
from pictures import write_picture_folder

ROUNDS = 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_writer_loses_nothing_and_leaves_nothing_half_there(kind, tmp_path, tiny_bundle):
    source = write_picture_folder(tmp_path / "photos", per_label=20) if kind == "build" else None
    campaign = Campaign(tmp_path / "catalogue", kind, tiny_bundle, source)
    hits = 0
    for seed in range(ROUNDS):
        kill = campaign.kill_once(seed)
        assert kill.faults == [], f"seed {seed}, killed at {kill.instant} of an operation"
        hits += kill.instant is not None
    assert campaign.truth or kind == "build", "nothing was ever acknowledged"
    assert hits, "every kill fell between two operations"
