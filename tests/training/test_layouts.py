"""Published sets, written here as they unpack: each split holds its own pictures with their own labels."""

import numpy as np
import pytest
from pictures import drawn
from PIL import Image
from scipy.io import savemat

from encoder.errors import ConfigError, SourceError
from training.layouts import LAYOUTS, decode_listed, list_split


def write_picture(path, seed=0, size=(64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn((200, 50, 40), seed, size).save(path)


def named(listing, data):
    return {path.relative_to(data).as_posix(): label for path, label in zip(listing.paths, listing.labels, strict=True)}


@pytest.fixture
def cub(tmp_path):
    files = ["001.Black_footed_Albatross/A_1.jpg", "001.Black_footed_Albatross/A_2.jpg", "002.Laysan_Albatross/L_1.jpg"]
    for seed, name in enumerate(files):
        write_picture(tmp_path / "images" / name, seed)
    (tmp_path / "images.txt").write_text("".join(f"{n + 1} {name}\n" for n, name in enumerate(files)))
    (tmp_path / "train_test_split.txt").write_text("1 1\n2 0\n3 0\n")
    (tmp_path / "image_class_labels.txt").write_text("1 1\n2 1\n3 2\n")
    (tmp_path / "classes.txt").write_text("1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n")
    return tmp_path


def test_cub200(cub):
    train, test = (list_split(cub, "cub200", split) for split in ("train", "test"))
    assert named(train, cub) == {"images/001.Black_footed_Albatross/A_1.jpg": "001.Black_footed_Albatross"}
    assert named(test, cub) == {
        "images/001.Black_footed_Albatross/A_2.jpg": "001.Black_footed_Albatross",
        "images/002.Laysan_Albatross/L_1.jpg": "002.Laysan_Albatross",
    }


def test_training_needs_no_labels(cub):
    (cub / "classes.txt").unlink()
    assert list_split(cub, "cub200", "train", labelled=False).labels == [None]
    with pytest.raises(SourceError, match=r"classes\.txt does not exist"):
        list_split(cub, "cub200", "train")


def test_fgvc_aircraft_and_its_banner(tmp_path):
    images = tmp_path / "data" / "images"
    for number in ("0034309", "1025794"):
        write_picture(images / f"{number}.jpg")
    (tmp_path / "data" / "images_variant_trainval.txt").write_text("1025794 707-320\n")
    (tmp_path / "data" / "images_variant_test.txt").write_text("0034309 Boeing 717\n")
    train, test = (list_split(tmp_path, "fgvc_aircraft", split) for split in ("train", "test"))
    assert named(train, images) == {"1025794.jpg": "707-320"}
    assert named(test, images) == {"0034309.jpg": "Boeing 717"}
    whole = Image.open(train.paths[0]).convert("RGB")
    cut = decode_listed(train.paths[0], train.cut_bottom_px, 16)
    assert cut.size == (64, 28)
    assert np.array_equal(np.asarray(cut), np.asarray(whole)[:28])


def test_stanford_cars(tmp_path):
    names = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012"]
    annotation = np.dtype([(key, object) for key in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")])
    for split, classes, annotations in (
        ("train", [2, 1], "devkit/cars_train_annos.mat"),
        ("test", [1, 2, 2], "cars_test_annos_withlabels.mat"),
    ):
        rows = []
        for number, class_number in enumerate(classes):
            write_picture(tmp_path / f"cars_{split}" / f"{number + 1:05d}.jpg", number)
            rows.append((1, 2, 30, 40, class_number, f"{number + 1:05d}.jpg"))
        (tmp_path / "devkit").mkdir(exist_ok=True)
        savemat(tmp_path / annotations, {"annotations": np.array([rows], dtype=annotation)})
    assert list_split(tmp_path, "stanford_cars", "train", labelled=False).labels == [None, None]
    with pytest.raises(SourceError, match=r"cars_meta\.mat does not exist"):
        list_split(tmp_path, "stanford_cars", "train")
    savemat(tmp_path / "devkit" / "cars_meta.mat", {"class_names": np.array([names], dtype=object)})
    assert list_split(tmp_path, "stanford_cars", "train").labels == [names[1], names[0]]
    assert list_split(tmp_path, "stanford_cars", "test").labels == [names[0], names[1], names[1]]


def test_caltech101_keeps_30_a_class_for_training_and_leaves_the_clutter_out(tmp_path):
    root = tmp_path / "101_ObjectCategories"
    for label, count in (("accordion", 34), ("Faces", 31), ("BACKGROUND_Google", 3)):
        for number in range(count):
            write_picture(root / label / f"image_{number:04d}.jpg", number, (20, 20))
    train, test = (list_split(tmp_path, "caltech101", split) for split in ("train", "test"))
    counts = [{label: split.labels.count(label) for label in set(split.labels)} for split in (train, test)]
    assert counts == [{"accordion": 30, "Faces": 30}, {"accordion": 4, "Faces": 1}]
    assert not set(train.paths) & set(test.paths)
    assert list_split(root, "caltech101", "test").paths == test.paths


def test_any_folder(tmp_path):
    write_picture(tmp_path / "b" / "c" / "1.jpg")
    write_picture(tmp_path / "0.jpg")
    assert named(list_split(tmp_path), tmp_path) == {"0.jpg": None, "b/c/1.jpg": "b/c"}


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "folder"])
def test_a_folder_of_another_layout_is_refused_with_the_file_it_lacks(tmp_path, layout):
    write_picture(tmp_path / "red" / "1.jpg")
    with pytest.raises(SourceError, match="does not exist"):
        list_split(tmp_path, layout, "train")


def test_unknown_names(tmp_path):
    with pytest.raises(ConfigError, match="expected one of folder, cub200"):
        list_split(tmp_path, "imagenet")
    with pytest.raises(ConfigError, match="expected one of train, test"):
        list_split(tmp_path, "folder", "validation")
