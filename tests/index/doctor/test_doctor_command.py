"""`lodisc index doctor` and `lodisc index relabel` to their output and exit codes."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from vector_catalogue import clustered, item_of

from encoder.bundle import Bundle
from index.relabel import relabel
from index.sqlite_catalogue import SqliteCatalogue
from lodisc.cli import main

ODD = '<script>alert("&")</script>'


@pytest.fixture
def catalogue(tmp_path, tiny_bundle):
    """Thirty items of three labels of one rank; the last is a copy of the first under another name."""
    with SqliteCatalogue.create(tmp_path / "c", Bundle.open(tiny_bundle), ranks=("species",)) as opened:
        items = [
            replace(item_of(f"i{n}", vector), labels={"species": f"s{n % 3}"}, content_hash=f"{n:064}")
            for n, vector in enumerate(clustered(30))
        ]
        copy = replace(items[0], id=ODD, labels={"species": ODD}, thumbnail=b"RIFF0000WEBP")
        opened.put([*items, copy])
        yield opened


def test_the_doctor_prints_each_finding_with_its_command(catalogue, capsys):
    assert main(["index", "doctor", str(catalogue.path), "--only", "conflict", "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "31 items, 30 examined" in printed
    assert "conflict: the same picture under different labels" in printed
    assert "mislabelled" not in printed
    assert f"\n    lodisc index relabel {catalogue.path} '{ODD}' --set species=s0\n" in printed


def test_the_doctor_answers_in_json_with_all_findings(catalogue, capsys):
    assert main(["index", "doctor", str(catalogue.path), "--json", "-n", "1"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["counts"]["conflict"] == 1
    assert sum(answer["counts"].values()) == len(answer["findings"])
    (conflict,) = [finding for finding in answer["findings"] if finding["kind"] == "conflict"]
    assert conflict["ids"] == ["i0", ODD]
    assert conflict["labels"] == ["s0", ODD]
    assert {"what", "ids"} == conflict["evidence"][0].keys()


def test_a_page_needs_nothing_else_and_takes_any_name(catalogue, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["index", "doctor", str(catalogue.path), "--html", str(page), "--quiet"]) == 0
    assert f"page: {page}" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "http" not in text
    assert "data:image/webp;base64," in text
    commands = [part.split("</pre>")[0] for part in text.split("<pre>")[1:]]
    readable = [ElementTree.fromstring(f"<p>{command}</p>").text for command in commands]
    assert f"lodisc index relabel {catalogue.path} '{ODD}' --set species=s0" in readable
    assert list(tmp_path.glob("*.partial")) == []


def test_ci_fails_on_the_kinds_it_names(catalogue, capsys):
    doctor = ["index", "doctor", str(catalogue.path), "--quiet"]
    assert main([*doctor, "--fail-on", "duplicate", "--fail-on", "spelling"]) == 0
    assert main([*doctor, "--fail-on", "duplicate", "--fail-on", "conflict"]) == 1
    assert main([*doctor, "--only", "conflict", "--fail-on", "conflict"]) == 1
    assert main([*doctor, "--only", "conflict", "--fail-on", "outlier"]) == 2
    assert "--fail-on outlier is not looked for" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "wrong"], "invalid choice: 'wrong'"),
        (["-n", "-1"], "'-1' is not a whole number"),
        (["--sample", "x"], "'x' is not a whole number"),
    ],
)
def test_arguments_that_argparse_refuses(catalogue, capsys, arguments, message):
    with pytest.raises(SystemExit, match="2"):
        main(["index", "doctor", str(catalogue.path), *arguments])
    assert message in capsys.readouterr().err


def test_what_the_doctor_cannot_do_is_said_in_a_line(catalogue, tmp_path, capsys):
    for arguments, message in [
        ([str(tmp_path / "none")], "none"),
        ([str(catalogue.path), "--filter", "genus == 1"], "genus"),
        ([str(catalogue.path), "--html", str(tmp_path / "no" / "page.html")], "make it first"),
        ([str(catalogue.path), "--html", str(tmp_path)], "cannot be written"),
    ]:
        assert main(["index", "doctor", *arguments, "--quiet"]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert message in told


def test_relabelling_changes_labels_and_nothing_else(catalogue):
    before = {record.item.id: record for record in catalogue.records()}
    assert relabel(catalogue, ["i1", "none", "i4", "i7"], {"species": "s1", "genus": "G"}, ["colour"]) == (3, ["none"])
    assert relabel(catalogue, ["i1"], {"genus": "G"}) == (0, [])
    for item_id, record in {record.item.id: record for record in catalogue.records()}.items():
        changed = item_id in ("i1", "i4", "i7")
        labels = {"species": "s1", "genus": "G"} if changed else before[item_id].item.labels
        assert record == replace(before[item_id], item=replace(before[item_id].item, labels=labels))
    assert relabel(catalogue, ["i1"], {}, ["species", "genus"]) == (1, [])
    assert catalogue.get("i1").labels == {}
    matches = catalogue.search(np.stack([catalogue.embedding("i1")]), k=1)[0]
    assert (matches[0].id, matches[0].labels) == ("i1", {})


def test_relabelling_undoes_no_write_of_a_server_beside_it(catalogue):
    """A deleted item stays away, and a replaced picture is not exchanged for the one before."""
    fresh = clustered(30, seed=1)

    def serve():
        with SqliteCatalogue.open(catalogue.path) as server:
            for n in range(30):
                if n % 2:
                    server.delete([f"i{n}"])
                else:
                    server.put([item_of(f"i{n}", fresh[n])])

    with ThreadPoolExecutor(1) as pool:
        served, rounds = pool.submit(serve), 0
        while not served.done() or rounds < 2:
            rounds += 1
            relabel(catalogue, [f"i{n}" for n in range(30)], {"genus": f"g{rounds}"})
            time.sleep(0.002)  # lets the other one in
        served.result()
    assert sorted(catalogue.ids()) == sorted([ODD, *(f"i{n}" for n in range(0, 30, 2))])
    for n in range(0, 30, 2):
        assert catalogue.embedding(f"i{n}") @ fresh[n] == pytest.approx(1, abs=1e-3)
        assert catalogue.get(f"i{n}").labels == {"label": "x", "genus": f"g{rounds}"}


def test_the_relabel_command_by_ids_and_by_filter(catalogue, capsys, monkeypatch):
    monkeypatch.setattr("index.relabel.AT_ONCE", 4)
    monkeypatch.setattr("lodisc.commands.index_relabelling.PAGE", 3)
    start = ["index", "relabel", str(catalogue.path)]
    assert main([*start, "--filter", 'species == "s1"', "--set", "species=s=2"]) == 0
    assert capsys.readouterr().out == "relabelled 10 of 10 items\n"
    assert catalogue.count('species == "s=2"') == 10
    assert main([*start, "i0", "i0", "none", "--set", "genus=G", "--unset", "species"]) == 1
    told = capsys.readouterr()
    assert told.out == "relabelled 1 of 2 items\n"
    assert told.err.startswith("no item 'none' in ")
    assert catalogue.get("i0").labels == {"genus": "G"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name the items"),
        (["i0", "--filter", 'species == "s1"', "--set", "a=b"], "either by their IDs or by --filter"),
        (["i0"], "nothing to do"),
        (["i0", "--set", "species=a", "--set", "species=b"], "named twice"),
        (["i0", "--set", "species=a", "--unset", "species"], "named twice"),
        (["--filter", "x ==", "--set", "species=a"], "filter"),
    ],
)
def test_relabel_refuses_in_a_line(catalogue, capsys, arguments, message):
    assert main(["index", "relabel", str(catalogue.path), *arguments]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert message in told


@pytest.mark.parametrize("setting", ["species", "species=", "=a", "id=a", ""])
def test_a_setting_is_a_rank_and_a_name(catalogue, capsys, setting):
    with pytest.raises(SystemExit, match="2"):
        main(["index", "relabel", str(catalogue.path), "i0", "--set", setting])
    assert "argument --set" in capsys.readouterr().err
