"""Folders and CSVs, and everything that can be wrong with them."""

import pytest

from encoder.errors import SourceError
from index.sources.reading import read_source


def facts_of(*source):
    return [picture.facts for picture in read_source(*source)]


def test_sub_folders_are_labels_from_the_inside_out(tmp_path):
    for path in (
        "Pica/pica/b.jpg",
        "Pica/pica/a.JPG",
        "top.png",
        "Pica/loose.webp",
        ".hidden/x.png",
        "Pica/notes.txt",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    found = {facts.id: facts.labels for facts in facts_of(tmp_path)}
    assert list(found) == ["Pica/loose.webp", "Pica/pica/a.JPG", "Pica/pica/b.jpg", "top.png"]
    assert found["Pica/pica/b.jpg"] == {"label": "pica", "group": "Pica"}
    assert found["Pica/loose.webp"] == {"label": "Pica"}
    assert found["top.png"] == {}
    named = {facts.id: facts.labels for facts in facts_of(tmp_path, ("species", "genus"))}
    assert list(named["Pica/pica/a.JPG"].items()) == [("species", "pica"), ("genus", "Pica")]


def test_a_loop_of_links_ends(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(b"")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert [facts.id for facts in facts_of(tmp_path)] == ["a/x.png"]


def test_csv_columns(tmp_path):
    csv = tmp_path / "list.csv"
    csv.write_text(
        "\ufeffpath,id,label,year,weight,place\nimg/1.jpg,one,finch,2011,1.5,Ulm\nimg/2.jpg,,,,007,1_000\n",
        encoding="utf-8",
    )
    one, two = facts_of(csv)
    assert (one.id, one.labels, one.metadata) == (
        "one",
        {"label": "finch"},
        {"year": 2011, "weight": 1.5, "place": "Ulm"},
    )
    assert one.location == str(tmp_path / "img/1.jpg")
    assert (two.id, two.labels, two.metadata) == ("img/2.jpg", {}, {"weight": "007", "place": "1_000"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("-12", -12), ("0.50", 0.5), ("1e3", 1000.0), ("007", "007"), ("-01", "-01"), ("00.5", "00.5"),
        ("nan", "nan"), ("inf", "inf"), ("1_0", "1_0"), ("9007199254740993", "9007199254740993"), ("3 m", "3 m"),
    ],
)  # fmt: skip
def test_metadata_is_a_number_only_where_nothing_is_lost(tmp_path, text, value):
    (tmp_path / "list.csv").write_text(f"path,x\na.jpg,{text}\n")
    (picture,) = facts_of(tmp_path / "list.csv")
    assert picture.metadata == {"x": value}
    assert type(picture.metadata["x"]) is type(value)


def test_ids_have_no_leading_dot_and_column_names_no_spaces(tmp_path):
    (tmp_path / "list.csv").write_text("path, label\n./img/1.jpg, finch\n")
    (picture,) = facts_of(tmp_path / "list.csv")
    assert (picture.id, picture.labels) == ("img/1.jpg", {"label": "finch"})


def test_csv_ranks_name_the_label_columns(tmp_path):
    csv = tmp_path / "list.csv"
    csv.write_text("genus,path,species\nPica,1.jpg,pica\n", encoding="utf-8")
    (picture,) = facts_of(csv, ("species", "genus"))
    assert list(picture.labels.items()) == [("species", "pica"), ("genus", "Pica")]
    assert picture.metadata == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,label\na.jpg,x\n", "no column path; it has file, label"),
        ("", "no column path; it has none"),
        ("path,label\n", "no rows"),
        ("path,id\na.jpg,same\nb.jpg,same\n", "rows 1 and 2 both have the id 'same'"),
        ("path\na.jpg\na.jpg\n", "rows 1 and 2 both have the id 'a.jpg'"),
        ("path,label\na.jpg\n", "line 2: the number of values"),
        ("path,label\na.jpg,x,y\n", "line 2: the number of values"),
        ("path,label,label\na.jpg,x,y\n", "two columns of the name label"),
        ("path,label\n,x\n", "line 2: the path is empty"),
        ('path,label\n"a.jpg,x\n', "cannot be read"),
    ],
)
def test_csv_faults_are_one_clear_line(tmp_path, content, message):
    csv = tmp_path / "list.csv"
    csv.write_text(content, encoding="utf-8")
    with pytest.raises(SourceError, match=message) as caught:
        read_source(csv)
    assert "\n" not in str(caught.value)


def test_csv_that_is_no_text(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"path\n\xff\xfe\x00.jpg\n")
    with pytest.raises(SourceError, match="UTF-8"):
        read_source(tmp_path / "x.csv")


def test_missing_empty_and_foreign_sources(tmp_path):
    with pytest.raises(SourceError, match="does not exist"):
        read_source(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no pictures"):
        read_source(tmp_path / "empty")
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(SourceError, match="none of these"):
        read_source(tmp_path / "x.txt")
    (tmp_path / "l.csv").write_text("path\na.jpg\n")
    with pytest.raises(SourceError, match="no column species"):
        read_source(tmp_path / "l.csv", ("species",))
