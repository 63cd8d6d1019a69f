"""Parquet: paths, bytes, what the `datasets` library writes, several shards, and damage."""

import json
import subprocess
import sys
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import drawn, file_bytes

from encoder.errors import InputError, SourceError
from index.sources.picture import SourcePicture, UnreadablePart
from index.sources.reading import read_source

PNG = file_bytes(drawn((10, 90, 200), 1))


def write(path, columns, **options):
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_paths_as_in_a_csv(tmp_path):
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "1.png").write_bytes(PNG)
    table = write(
        tmp_path / "list.parquet",
        {
            "path": ["./img/1.png", "/elsewhere/2.png"],
            "id": ["one", None],
            "label": ["finch", "  "],
            "year": [2011, None],
            "weight": [1.5, float("nan")],
            "seen": [date(2020, 2, 1), None],
            "price": [Decimal("1.25"), None],
            "tags": [["a", "b"], None],
            "huge": [2**60, 1],
        },
    )
    source = read_source(table)
    assert source.num_pictures == 2
    one, two = source
    assert (one.facts.id, one.facts.labels) == ("one", {"label": "finch"})
    assert one.facts.metadata == {
        "year": 2011, "weight": 1.5, "seen": "2020-02-01", "price": 1.25, "tags": ["a", "b"], "huge": str(2**60),
    }  # fmt: skip
    assert json.dumps(one.facts.metadata, allow_nan=False)
    assert one.facts.location == str(tmp_path / "img/1.png")
    assert one.read() == PNG
    assert (two.facts.id, two.facts.location) == ("/elsewhere/2.png", "/elsewhere/2.png")
    assert (two.facts.labels, two.facts.metadata) == ({}, {"huge": 1})


def test_what_the_datasets_library_writes(tmp_path):
    """The struct {bytes, path} and the names of a class label."""
    features = {"image": {"_type": "Image"}, "label": {"names": ["finch", "wren"], "_type": "ClassLabel"}}
    table = pa.table(
        {
            "image": pa.array(
                [{"bytes": PNG, "path": "a.png"}, {"bytes": PNG, "path": None}, {"bytes": None, "path": "far/b.png"}],
                pa.struct({"bytes": pa.binary(), "path": pa.string()}),
            ),
            "label": [1, 0, -1],
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "train-0.parquet")
    a, row, b = read_source(tmp_path / "train-0.parquet")
    assert (a.facts.id, a.facts.labels, a.facts.metadata, a.read()) == ("a.png", {"label": "wren"}, {}, PNG)
    assert (row.facts.id, row.facts.labels) == ("train-0.parquet#1", {"label": "finch"})
    assert row.facts.location == str(tmp_path / "train-0.parquet#1")
    assert (b.facts.location, b.facts.labels) == (str(tmp_path / "far/b.png"), {})


def test_bytes_ranks_and_columns_that_are_no_metadata(tmp_path, caplog):
    write(
        tmp_path / "x.parquet",
        {"image": [PNG, None], "genus": ["Pica", "Pica"], "species": ["pica", None], "mask": [b"1", b"2"]},
    )
    one, none = read_source(tmp_path / "x.parquet", ("species", "genus"))
    assert list(one.facts.labels.items()) == [("species", "pica"), ("genus", "Pica")]
    assert one.facts.metadata == {}
    assert "mask" in caplog.text
    with pytest.raises(Exception, match="row has no picture"):
        none.read()


def not_utf8(*texts):
    return pa.array(texts, pa.binary()).view(pa.string())


@pytest.mark.parametrize(
    ("columns", "ids", "said"),
    [
        ({"path": ["a", "b", "c"], "caption": not_utf8(b"x", b"caf\xe9", b"y")}, ["a", "b", "c"], "caption"),
        ({"path": not_utf8(b"a", b"caf\xe9", b"c")}, ["a", "x.parquet#1", "c"], "path"),
        ({"path": ["a", "b", "c"], "id": not_utf8(b"1", b"caf\xe9", b"3")}, ["1", "x.parquet#1", "3"], "id"),
        ({"path": ["a", "b", "c"], "taken": pa.array([1, 2**50, 2], pa.timestamp("s"))}, ["a", "b", "c"], "taken"),
    ],
)
def test_a_cell_that_is_not_what_its_column_holds_costs_one_row(tmp_path, columns, ids, said):
    for name in "abc":
        (tmp_path / name).write_bytes(PNG)
    write(tmp_path / "x.parquet", columns)
    found = list(read_source(tmp_path / "x.parquet"))
    assert [one.facts.id for one in found] == ids
    assert [found[0].read(), found[2].read()] == [PNG, PNG]
    with pytest.raises(InputError, match=f"column {said} of row 1 cannot be read: "):
        found[1].read()


def test_shards_by_pattern_and_an_id_in_two_of_them(tmp_path):
    for number in range(3):
        write(tmp_path / f"s-{number}.parquet", {"image": [PNG], "id": [f"p{number}"]})
    assert [one.facts.id for one in read_source(tmp_path / "s-*.parquet")] == ["p0", "p1", "p2"]
    assert [one.facts.id for one in read_source(tmp_path / "s-{2,0}.parquet")] == ["p2", "p0"]
    write(tmp_path / "s-1.parquet", {"image": [PNG], "id": ["p0"]})
    with pytest.raises(SourceError, match=r"row 0 of s-0.parquet and row 0 of s-1.parquet both have the id 'p0'"):
        read_source(tmp_path / "s-*.parquet")


@pytest.mark.parametrize(
    ("columns", "ranks", "message"),
    [
        ({"file": ["a"]}, (), "no column path or image; it has file"),
        ({"path": ["a"]}, ("species",), "no column species"),
        ({"path": pa.array([], pa.string())}, (), "no rows"),
        ({"path": ["a", "a"]}, (), "both have the id 'a'"),
    ],
)
def test_faults_of_the_table_come_before_the_run(tmp_path, columns, ranks, message):
    write(tmp_path / "x.parquet", columns)
    with pytest.raises(SourceError, match=message):
        read_source(tmp_path / "x.parquet", ranks)


def test_shards_of_one_name_that_would_have_the_same_ids(tmp_path):
    for shard in ("s0", "s1"):
        (tmp_path / shard).mkdir()
        write(tmp_path / shard / "train.parquet", {"image": [b"a"]})
    with pytest.raises(SourceError, match="column id") as told:
        read_source(str(tmp_path / "{s0,s1}" / "train.parquet"))
    assert str(tmp_path / "s0") in str(told.value)
    assert str(tmp_path / "s1") in str(told.value)
    assert "--prefix" in str(told.value)
    write(tmp_path / "s1" / "train.parquet", {"image": [b"a", b"b"], "id": ["s1", None]})
    write(tmp_path / "s0" / "train.parquet", {"image": [b"a", b"b"]})
    with pytest.raises(SourceError, match="'train.parquet#1'"):  # of a row without one, and of the other shard's rows
        read_source(str(tmp_path / "{s0,s1}" / "train.parquet"))
    write(tmp_path / "s0" / "train.parquet", {"image": [b"a"]})
    found = read_source(str(tmp_path / "{s0,s1}" / "train.parquet"))
    assert [picture.facts.id for picture in found] == ["train.parquet#0", "s1", "train.parquet#1"]
    for shard in ("s0", "s1"):
        write(tmp_path / shard / "train.parquet", {"image": [b"a"], "id": [shard]})
    found = read_source(str(tmp_path / "{s0,s1}" / "train.parquet"))
    assert [picture.facts.id for picture in found] == ["s0", "s1"]


def test_what_is_no_parquet_file(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(SourceError, match="cannot be read as a Parquet file") as caught:
        read_source(tmp_path / "x.parquet")
    assert "\n" not in str(caught.value)
    with pytest.raises(SourceError, match=r"gone.parquet does not exist"):
        read_source(tmp_path / "gone.parquet")


def test_a_damaged_page_costs_the_rest_of_its_shard_and_is_told(tmp_path):
    pictures = [file_bytes(drawn((number, 90, 200), number)) for number in range(60)]
    for name in "ab":
        write(
            tmp_path / f"{name}.parquet",
            {"image": pictures, "id": [f"{name}{number}" for number in range(60)]},
            row_group_size=20, compression="zstd", use_dictionary=False,
        )  # fmt: skip
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        start = file.metadata.row_group(1).column(0).data_page_offset
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[start + 40 : start + 400] = bytes(360)
    (tmp_path / "a.parquet").write_bytes(content)
    found = list(read_source(tmp_path / "{a,b}.parquet"))
    (part,) = [one for one in found if isinstance(one, UnreadablePart)]
    assert part.location == str(tmp_path / "a.parquet")
    assert "cannot be read after row" in part.reason
    ids = [one.facts.id for one in found if isinstance(one, SourcePicture)]
    assert ids[:8] == [f"a{number}" for number in range(8)]
    assert len([name for name in ids if name.startswith("a")]) <= 20
    assert [name for name in ids if name.startswith("b")] == [f"b{number}" for number in range(60)]


def test_without_pyarrow_the_error_names_the_extra(tmp_path):
    write(tmp_path / "x.parquet", {"path": ["a"]})
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        f"from lodisc.cli import main; sys.exit(main(['index', 'build', {str(tmp_path / 'c')!r}, '--images', "
        f"{str(tmp_path / 'x.parquet')!r}, '--bundle', 'b']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install -e '.[parquet]'" in done.stderr
    assert done.stderr.count("\n") == 1
