"""Labels from a CSV: what a row means, and every fault named by its row."""

import pytest

from encoder.errors import SourceError
from training.label_table import read_label_table

PICTURES = ["1.jpg", "sub/2.jpg", "3.jpg", "4.jpg"]


def read(tmp_path, text, pictures=PICTURES):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return read_label_table(path, pictures)


def test_labels_nest_as_folders_do_and_what_is_missing_has_none(tmp_path):
    text = "path, model ,make\n./1.jpg,100,Audi\nsub/2.jpg,100,Volvo\n\n3.jpg,,Volvo\ngone.jpg,x,y\n"
    ranks, unknown = read(tmp_path, "\ufeff" + text)
    assert ranks.names == ("model", "make")
    assert ranks.of == {
        "1.jpg": ("Audi/100", "Audi"),
        "sub/2.jpg": ("Volvo/100", "Volvo"),
        "3.jpg": (None, "Volvo"),
        "4.jpg": (None, None),
    }
    assert unknown == ["gone.jpg"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the columns none; expected path, then one column a rank"),
        ("path\n1.jpg\n", "has the columns path; expected"),
        ("file,model\n1.jpg,a\n", "has the columns file, model; expected path"),
        ("model,path\na,1.jpg\n", "has the columns model, path; expected path, then"),
        ("path,model,model\n1.jpg,a,b\n", "each with a name of its own"),
        ("path,model,\n1.jpg,a,b\n", "each with a name of its own"),
        ("path,model\n1.jpg,a\n3.jpg,a,b\n", "row 2 below the header: 3 values, expected 2"),
        ("path,model\n,a\n", "row 1 below the header: the path is empty"),
        ("path,model\n1.jpg,a\n./1.jpg,b\n", "row 2 below the header: 1.jpg is already in row 1"),
        ("path,model,make\n1.jpg,a4,\n", "row 1 below the header: model is 'a4', but make is empty"),
        ("path,model\nphotos/1.jpg,a\n", "names 1 paths and none is one of the 4 pictures .*relative to --data"),
        ("path,model\n", "names 0 paths and none"),
        ('path,model\n"1.jpg,a\n', "cannot be read as a UTF-8 CSV"),
    ],
)
def test_faults_name_the_row_and_what_is_expected(tmp_path, text, message):
    with pytest.raises(SourceError, match=message):
        read(tmp_path, text)


def test_a_table_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        read_label_table(tmp_path / "none.csv", PICTURES)
    (tmp_path / "latin.csv").write_bytes("path,model\n1.jpg,Käfer\n".encode("latin-1"))
    with pytest.raises(SourceError, match="UTF-8"):
        read_label_table(tmp_path / "latin.csv", PICTURES)
