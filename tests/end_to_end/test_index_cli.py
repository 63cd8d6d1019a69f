"""`lodisc index` and `lodisc search` as a person types them: output, one clear line for each fault, exit codes."""

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import tarfile
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from types import SimpleNamespace

import pytest

from index.sqlite_catalogue import SqliteCatalogue
from lodisc.cli import main


def lodisc(*arguments):
    """The command line, in this process: starting another takes longer than most of what is asked of it."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ended:  # argparse has told what was wrong, or has shown its help
            code = ended.code
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


@pytest.fixture
def catalogue(tmp_path, tiny_bundle, picture_folder):
    path = tmp_path / "catalogue"
    done = lodisc("index", "build", path, "--images", picture_folder, "--bundle", tiny_bundle)
    assert done.returncode == 0, done.stderr
    assert "12 encoded" in done.stdout
    assert "limited by" in done.stdout
    return path


def test_search_finds_the_picture_itself(catalogue, picture_folder):
    done = lodisc("search", catalogue, picture_folder / "green" / "1.png", "-k", 3, "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 0
    assert answer["matches"][0]["id"] == "green/1.png"
    assert answer["matches"][0]["score"] == pytest.approx(1, abs=1e-4)
    assert answer["matches"][0]["thumbnail"] == "/items/green/1.png/thumbnail"
    assert len(answer["matches"]) == 3
    assert answer["prediction"]["label"] == "green"
    assert answer["prediction"]["unknown"] is None
    assert set(answer["timing_ms"]) == {"decode", "encode", "search"}


def test_adding_pictures_of_the_same_names_keeps_both_with_a_prefix(catalogue, picture_folder, tmp_path):
    more = tmp_path / "more"
    shutil.copytree(picture_folder, more)
    shutil.copy(picture_folder / "green" / "1.png", more / "green" / "0.png")  # another picture than its namesake's
    first = lodisc("index", "add", catalogue, "--images", more)
    assert (first.returncode, first.stderr) == (0, "")
    assert "1 rejected" in first.stdout
    assert f"its id 'green/0.png' is that of another picture, {picture_folder / 'green' / '0.png'}" in first.stdout
    assert "1 of those have the id of an item from another place" in first.stdout
    added = lodisc("index", "add", catalogue, "--images", more, "--prefix", "more/")
    assert "12 copies of known content" in added.stdout
    assert "0 rejected" in added.stdout
    refused = lodisc("index", "add", catalogue, "--images", more, "--prefix", "a\nb")
    assert (refused.returncode, "--prefix is 'a\\nb'" in refused.stderr) == (2, True)
    with SqliteCatalogue.open(catalogue) as opened:
        assert opened.stats().items == 24
        assert opened.get("more/green/0.png").labels == {"label": "green"}


def test_search_for_people_says_the_name_and_the_domain(catalogue, picture_folder):
    done = lodisc("search", catalogue, picture_folder / "green" / "1.png")
    assert "green (label)" in done.stdout
    assert "green/1.png" in done.stdout
    assert "lodisc train" in done.stdout


def test_add_remove_stats_compact(catalogue, tmp_path, picture_folder):
    more = tmp_path / "more" / "grey"
    more.mkdir(parents=True)
    shutil.copy(picture_folder / "red" / "0.png", more / "copy.png")
    assert "1 copies of known content" in lodisc("index", "add", catalogue, "--images", more.parent).stdout
    done = lodisc("index", "remove", catalogue, "red/0.png", "red/none.png")
    assert (done.returncode, done.stdout) == (1, "removed 1 of 2 items\n")
    assert "red/none.png" in done.stderr
    stats = json.loads(lodisc("index", "stats", catalogue, "--json").stdout)
    assert stats["items"] == 12
    assert "recall@10 1.000" in lodisc("index", "compact", catalogue).stdout
    assert "items       12" in lodisc("index", "stats", catalogue).stdout


def test_how_the_index_is_chosen_is_asked_for_remembered_and_shown(catalogue):
    done = lodisc("index", "compact", catalogue, "--faiss", "IVF2,SQ8", "--memory", "1.5GB")
    assert "12 items, IVF2,SQ8, recall@10 1.000" in done.stdout
    assert "IVF2,SQ8" in lodisc("index", "compact", catalogue).stdout
    assert "12 items (IVF2,SQ8, recall@10 1.000, " in lodisc("index", "stats", catalogue).stdout
    assert "12 items, Flat" in lodisc("index", "compact", catalogue, "--recall", "0.9").stdout
    for arguments, message in (
        (("--recall", "1.5"), "expected a number above 0 and at most 1"),
        (("--faiss", "IVF2,Nonsense"), "IVF1024,SQ8"),
        (("--faiss", "IVF500,SQ8"), "name another with --faiss"),
    ):
        refused = lodisc("index", "compact", catalogue, *arguments)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
        assert message in refused.stderr
    for arguments in (("--exact", "--recall", "0.9"), ("--memory", "much"), ("--memory", "0")):
        assert lodisc("index", "compact", catalogue, *arguments).returncode == 2


def faults(tmp_path, bundle, other, photos, catalogue):
    (tmp_path / "empty").mkdir()
    (tmp_path / "no-path.csv").write_text("file\na.png\n")
    (tmp_path / "twice.csv").write_text("path,id\nphotos/red/0.png,x\nphotos/red/1.png,x\n")
    (tmp_path / "a-file").write_text("")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no")
    new = tmp_path / "new"
    build = ("index", "build", new, "--bundle", bundle, "--images")
    return {
        "missing folder": ((*build, tmp_path / "nowhere"), "does not exist"),
        "empty folder": ((*build, tmp_path / "empty"), "holds no pictures"),
        "csv without its columns": ((*build, tmp_path / "no-path.csv"), "no column path"),
        "two rows with one id": ((*build, tmp_path / "twice.csv"), "both have the id 'x'"),
        "another bundle": (("index", "build", catalogue, "--images", photos, "--bundle", other), "--fresh"),
        "missing bundle": (
            ("index", "build", new, "--images", photos, "--bundle", tmp_path / "no"),
            "does not exist",
        ),
        "catalogue is a file": (
            ("index", "build", tmp_path / "a-file", "--images", photos, "--bundle", bundle),
            "not a catalogue",
        ),
        "catalogue below a file": (
            ("index", "build", tmp_path / "a-file" / "new", "--images", photos, "--bundle", bundle),
            "lies in a file",
        ),
        "no catalogue": (("index", "stats", tmp_path / "none"), "not a catalogue"),
        "search with another bundle": (
            ("search", catalogue, photos / "red/0.png", "--bundle", other),
            "--fresh",
        ),
        "search with an undecodable picture": (("search", catalogue, tmp_path / "broken.png"), "broken.png: "),
        "search with a folder": (("search", catalogue, photos), "is a folder; name the picture in it"),
        "search with a missing picture": (("search", catalogue, tmp_path / "gone.png"), "does not exist"),
        "k out of range": (("search", catalogue, photos / "red/0.png", "-k", 0), "expected 1 to 1000"),
        "ranks twice": ((*build, photos, "--ranks", "a,a"), "--ranks"),
        "a rank that is a column": ((*build, photos, "--ranks", "species,id"), "a column of its own"),
        "a rank that is a word of filters": ((*build, photos, "--ranks", "in"), "a word of filters"),
    }


def test_faults_are_one_clear_line_and_exit_code_2(
    tmp_path, tiny_bundle, other_bundle, picture_folder, catalogue, capsys
):
    for name, (arguments, message) in faults(tmp_path, tiny_bundle, other_bundle, picture_folder, catalogue).items():
        assert main([str(argument) for argument in arguments]) == 2, name
        told = capsys.readouterr()
        assert told.err.startswith("lodisc: error: "), name
        assert told.err.count("\n") == 1, name
        assert message in told.err, name
        assert told.out == "", name
    assert not (tmp_path / "new").exists(), "a refused build left something behind"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--variant", "nit8"), "no variant 'nit8'"),
        (("--recall", "98"), "--recall is 98"),
        (("--faiss", "IVVF12"), "FAISS cannot make"),
        (("--memory", "1GB", "--faiss", "IVVF12", "--watch"), "FAISS cannot make"),
        (("--actors", "2"), "belong to --engine ray"),
        (("--actors", "2", "--watch"), "belong to --engine ray"),
    ],
)
def test_fresh_with_a_wrong_argument_throws_nothing_away(
    tmp_path, tiny_bundle, picture_folder, capsys, arguments, message
):
    build = ["index", "build", str(tmp_path / "c"), "--images", str(picture_folder), "--bundle", str(tiny_bundle)]
    assert main([*build, "--quiet"]) == 0
    capsys.readouterr()
    assert main([*build, "--quiet", "--fresh", *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    with SqliteCatalogue.open(tmp_path / "c") as opened:
        assert opened.count() == 12


def test_ranks_stay_until_others_are_named(tmp_path, tiny_bundle, picture_folder):
    build = ("index", "build", tmp_path / "c", "--images", picture_folder, "--bundle", tiny_bundle)
    lodisc(*build, "--ranks", "species")
    assert "0 with new labels or place, 12 unchanged" in lodisc(*build).stdout
    assert "12 with new labels or place" in lodisc(*build, "--ranks", "kind").stdout
    assert "3 kind;" in lodisc("index", "stats", tmp_path / "c").stdout
    assert "3 label;" in lodisc(*build, "--fresh").stdout + lodisc("index", "stats", tmp_path / "c").stdout


@pytest.fixture
def insects(tmp_path, tiny_bundle, picture_folder):
    """A catalogue of a CSV with two ranks, a year (one is missing) and a name that needs brackets."""
    rows = ["path,species,genus,year,wing length", *(f"{p},{s},{g},{y},{w}" for p, s, g, y, w in [
        ("red/0.png", "atalanta", "Vanessa", 2009, 30), ("red/1.png", "atalanta", "Vanessa", 2012, 31.5),
        ("green/0.png", "cardui", "Vanessa", 2012, 28), ("blue/0.png", "urticae", "Aglais", "", 25),
    ])]  # fmt: skip
    (picture_folder / "list.csv").write_text("\n".join(rows))
    path = tmp_path / "insects"
    done = lodisc("index", "build", path, "--images", picture_folder / "list.csv", "--bundle", tiny_bundle,
                  "--ranks", "species,genus")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return path


def test_list_and_count_with_a_filter(insects):
    wanted = 'genus == "Vanessa" and year >= 2010'
    assert lodisc("index", "list", insects).stdout.split() == ["blue/0.png", "green/0.png", "red/0.png", "red/1.png"]
    assert lodisc("index", "list", insects, "--filter", wanted).stdout == "green/0.png\nred/1.png\n"
    assert lodisc("index", "list", insects, "--filter", wanted, "--limit", 1).stdout == "green/0.png\n"
    assert lodisc("index", "list", insects, "--filter", "not exists(year)", "--count").stdout == "1\n"
    assert lodisc("index", "list", insects, "--count").stdout == "4\n"
    lines = lodisc("index", "list", insects, "--filter", "[wing length] > 30", "--json").stdout.splitlines()
    item = json.loads(*lines)
    assert item["source"].endswith("red/1.png")
    assert (item["id"], list(item["labels"].items()), item["metadata"]) == (
        "red/1.png",
        [("species", "atalanta"), ("genus", "Vanessa")],
        {"year": 2012, "wing length": 31.5},
    )


def test_search_with_a_filter(insects, picture_folder):
    picture = picture_folder / "red" / "1.png"
    search = ("search", insects, picture, "--json", "--filter")
    assert json.loads(lodisc(*search, "year == 2012").stdout)["matches"][0]["id"] == "red/1.png"
    answer = json.loads(lodisc(*search, 'startswith(genus, "Agl")').stdout)
    assert [match["id"] for match in answer["matches"]] == ["blue/0.png"]
    assert (answer["prediction"]["label"], answer["prediction"]["rank"]) == ("urticae", "species")
    done = lodisc("search", insects, picture, "--filter", "year > 3000")
    assert (done.returncode, done.stdout) == (0, "no item passes the filter: nothing to compare with\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("genus = 'Vanessa'", "filter, column 7: `=` is not used here; write =="),
        ("genus == Vanessa", "filter, column 10: a text goes between quotes, found Vanessa without them"),
        ("year > 1 and gneus == 'a'", "filter, column 14: no item has a label or metadata gneus; did you mean genus?"),
        ("q == 1", "there are genus, species, [wing length], year"),
        ("", "filter, column 1: expected the name of a label or of metadata"),
    ],
)
def test_a_wrong_filter_is_one_line_with_its_column(insects, picture_folder, text, said):
    for command in (("search", insects, picture_folder / "red" / "1.png"), ("index", "list", insects)):
        done = lodisc(*command, "--filter", text)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("lodisc: error: filter, column ")
        assert done.stderr.count("\n") == 1
        assert said in done.stderr


def test_names_that_look_like_markup_are_shown_as_they_are(tmp_path, tiny_bundle, picture_folder):
    odd = tmp_path / "odd" / "[bold]x[" / "[i]1.png"
    odd.parent.mkdir(parents=True)
    shutil.copy(picture_folder / "red" / "1.png", odd)
    lodisc("index", "build", tmp_path / "c", "--images", tmp_path / "odd", "--bundle", tiny_bundle)
    done = lodisc("search", tmp_path / "c", odd)
    assert done.returncode == 0, done.stderr
    assert "[bold]x[/[i]1.png" in done.stdout
    assert "[bold]x[ (label)" in done.stdout


def test_progress_on_a_terminal_shows_rate_time_left_and_stage(tmp_path, tiny_bundle, picture_folder):
    ours, theirs = pty.openpty()
    command = ["index", "build", tmp_path / "c", "--images", picture_folder, "--bundle", tiny_bundle]
    process = subprocess.Popen(
        [sys.executable, "-m", "lodisc", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "120", "TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while piece := os.read(ours, 4096):
            shown += piece
    os.close(ours)
    assert process.wait() == 0
    assert re.search(rb"12/12.*pictures/s, limited by \w+.*left.*\d:\d\d", shown), shown


@pytest.mark.parametrize("arguments", [("index",), ("index", "build"), ("search",), ("index", "fly"), ("fly",)])
def test_wrong_usage_is_explained(arguments):
    done = lodisc(*arguments)
    assert done.returncode == 2
    assert "usage: lodisc" in done.stderr


@pytest.mark.parametrize(("arguments", "meant"), [(("serch", "c"), "search"), (("index", "biuld", "c"), "build")])
def test_a_slip_is_told_what_was_meant(arguments, meant):
    done = lodisc(*arguments)
    assert done.returncode == 2
    assert f"did you mean {meant}?" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("index",),
        ("search",),
        *(("index", action) for action in ("build", "add", "remove", "list", "stats", "compact")),
    ],
)
def test_help_has_examples(arguments):
    done = lodisc(*arguments, "--help")
    assert done.returncode == 0
    assert f"\n  lodisc {' '.join(arguments)} " in done.stdout


def test_version():
    assert lodisc("--version").stdout.startswith("lodisc")


def test_dry_run_tells_counts_time_and_size_and_writes_nothing(tmp_path, tiny_bundle, picture_folder, catalogue):
    build = ("index", "build", tmp_path / "none", "--images", picture_folder, "--bundle", tiny_bundle, "--dry-run")
    done = lodisc(*build)
    assert (done.returncode, done.stderr) == (0, "")
    assert "12 pictures: 12 new, 0 with ids" in done.stdout
    assert re.search(r"trial +12 pictures at [\d.]+/s, limited by \w+; 0 cannot be used", done.stdout)
    assert re.search(r"estimate +[\d.]+ s and [\d.]+ MB", done.stdout)
    assert not (tmp_path / "none").exists()
    known = json.loads(
        lodisc(
            "index", "build", catalogue, "--images", picture_folder, "--bundle", tiny_bundle, "--dry-run", "--json"
        ).stdout
    )
    assert (known["known"], known["new"], known["seconds"], known["disk_bytes"]) == (12, 0, 0, 0)


def test_a_shard_that_breaks_off_is_told_and_nothing_is_pruned(tmp_path, tiny_bundle, picture_folder):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for path in sorted(picture_folder.rglob("*.png")):
            tar.add(path, path.relative_to(picture_folder).as_posix())
    build = ("index", "build", tmp_path / "c", "--images", tmp_path / "x.tar", "--bundle", tiny_bundle, "--prune")
    assert "12 encoded" in lodisc(*build).stdout
    (tmp_path / "x.tar").write_bytes((tmp_path / "x.tar").read_bytes()[:20_000])
    done = lodisc(*build)
    assert done.returncode == 1
    assert "a part of the source could not be read" in done.stderr
    assert "kept, because they may be in the part that could not be read" in done.stdout
