"""What the tables of docs/larger-than-one-machine.md say, where it can be counted by hand."""

import json
import re

import scale_arithmetic


def cells(table, first):
    """The row whose first cell is `first`."""
    (row,) = [line for line in table.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_raw_vectors_take_two_or_four_bytes_a_dimension_and_whole_nodes():
    # 10^9 x 384 x 2 = 768 GB; a node has 0.7 x 64 GiB = 48.1 GB for it
    row = cells(scale_arithmetic.index_memory(), "vectors, fp16")
    assert row[3:] == ["768 MB", "77 GB", "768 GB", "1", "2", "16"]


def test_hours_are_pictures_times_cpu_time_by_cores(tmp_path, monkeypatch):
    cpu = {"cpu_ms_a_picture": {"build": 360.0, "all_but_encoding": 60.0}, "pictures": "some",
           "pictures_per_s": {"build": 1.0}}  # fmt: skip
    encoder = {"int8_over_fp32": 1.5, "pruned_over_fp32": 2.0, "pruning": {"after_layer": 4, "keep_ratio": 0.3}}
    (tmp_path / "bulk_index.json").write_text(json.dumps({"rate_photographs": cpu, "device": "a", "date": "b"}))
    (tmp_path / "encoder_throughput.json").write_text(json.dumps(encoder))
    monkeypatch.setattr(scale_arithmetic, "RESULTS", tmp_path)
    table = scale_arithmetic.build_hours()
    assert cells(table, "fp32")[1:] == ["360", "100", "10,000", "100,000"]  # 0.36 s x 10^6 / 3600 = 100 core hours
    assert cells(table, "int8")[1] == "260"  # 60 + 300 / 1.5: what is not encoding stays
    assert cells(table, "64")[1:] == ["1.6 h", "7 days", "65 days"]


def test_values_of_the_chart_hold_the_index_and_one_node_to_spare():
    nodes = int(cells(scale_arithmetic.index_memory(), "HNSW SQ8")[-2])
    assert re.search(r"replicas: (\d+)", scale_arithmetic.milvus_values())[1] == str(nodes + 1)
