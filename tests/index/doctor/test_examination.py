"""A catalogue with every fault the doctor knows: each is found, and the command that is printed mends it."""

import subprocess
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from milvus_lite_store import create_lite, needs_milvus
from PIL import Image
from tiny_encoder import DIM
from vector_catalogue import item_of

from encoder.bundle import Bundle
from encoder.errors import FilterError
from index.doctor.examination import examine
from index.doctor.findings import KINDS
from index.doctor.mending import Mending
from index.sqlite_catalogue import SqliteCatalogue
from lodisc.cli import main

NUM_SPECIES, NUM_EACH = 12, 20
GENERA = ("G0", "G1", "G2")


def unit(vector):
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def drawn(seed):
    """A picture of soft patches that is like no other."""
    patches = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(patches).resize((96, 96), Image.Resampling.BICUBIC)


def webp(picture, quality=80):
    buffer = BytesIO()
    picture.save(buffer, "WEBP", quality=quality)
    return buffer.getvalue()


def clean_items(num_species=NUM_SPECIES, num_each=NUM_EACH):
    """Items of species that lie well apart, four species a genus; nothing is wrong with them."""
    generator = np.random.default_rng(0)
    centres = np.linalg.qr(generator.normal(size=(DIM, DIM)))[0][:num_species]
    items = []
    for number in range(num_species * num_each):
        species = number % num_species
        vector = unit(centres[species] + 0.08 * generator.normal(size=DIM))
        labels = {"species": f"s{species}", "genus": f"G{species // 4}"}
        items.append(
            replace(
                item_of(f"{labels['species']}/{number:03}.jpg", vector), labels=labels, metadata={"number": number},
                content_hash=f"{number:064x}", source=f"/pictures/{number}", thumbnail=webp(drawn(number)),
            )
        )  # fmt: skip
    return items


@pytest.fixture
def catalogue(tmp_path, tiny_bundle):
    path = tmp_path / "a catalogue's folder"
    with SqliteCatalogue.create(path, Bundle.open(tiny_bundle), ranks=("species", "genus")) as opened:
        yield opened


def found(catalogue, kind, **options):
    return [finding for finding in examine(catalogue, quiet=True, **options).findings if finding.kind == kind]


def shell_words(command):
    """What a shell hands on."""
    read = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, text=True, check=True)
    return read.stdout.split("\0")[:-1]


def run(command):
    program, *arguments = shell_words(command)
    assert program == "lodisc"
    assert main(arguments) == 0


def mend(finding):
    run(finding.command)


def test_nothing_is_wrong_with_a_clean_catalogue(catalogue):
    catalogue.put(clean_items())
    diagnosis = examine(catalogue, quiet=True)
    assert diagnosis.findings == ()
    assert diagnosis.notes == ()
    assert (diagnosis.num_items, diagnosis.num_asked) == (240, 240)
    assert diagnosis.counts() == dict.fromkeys(KINDS, 0)


def test_planted_wrong_labels_are_found_and_nothing_else_and_the_commands_mend_them(catalogue):
    items = clean_items()
    wrong = {}
    for one in range(NUM_SPECIES):
        number = one + NUM_SPECIES * (one + 3)
        item, species = items[number], (one + 5) % NUM_SPECIES
        wrong[item.id] = item.labels
        items[number] = replace(item, labels={"species": f"s{species}", "genus": f"G{species // 4}"})
    catalogue.put(items)
    findings = found(catalogue, "mislabelled")
    assert {finding.ids[0] for finding in findings} == wrong.keys()
    assert len(findings) == len(wrong) == 12
    for finding in findings:
        item_id = finding.ids[0]
        before = (catalogue.embedding(item_id), catalogue.thumbnail(item_id), catalogue.get(item_id).metadata)
        assert (finding.rank, finding.labels[1]) == ("species", wrong[item_id]["species"])
        assert 0.4 < finding.confidence < 1
        nearest = dict(finding.evidence)[f"nearest {finding.labels[1]}"]
        assert {catalogue.get(other).labels["species"] for other in nearest} == {finding.labels[1]}
        mend(finding)
        assert catalogue.get(item_id).labels == wrong[item_id]
        after = (catalogue.embedding(item_id), catalogue.thumbnail(item_id), catalogue.get(item_id).metadata)
        assert np.array_equal(before[0], after[0])
        assert before[1:] == after[1:]
    assert examine(catalogue, quiet=True).findings == ()


def test_a_wrong_genus_of_a_right_species_is_mended_alone(catalogue):
    items = clean_items()
    items[30] = replace(items[30], labels=items[30].labels | {"genus": "G2"})
    catalogue.put(items)
    (finding,) = found(catalogue, "mislabelled")
    assert (finding.rank, finding.labels, finding.ids) == ("genus", ("G2", "G1"), (items[30].id,))
    mend(finding)
    assert catalogue.get(items[30].id).labels == {"species": "s6", "genus": "G1"}
    assert found(catalogue, "mislabelled") == []


def test_the_same_picture_is_found_as_a_file_and_encoded_anew(catalogue):
    items = clean_items()
    generator = np.random.default_rng(1)
    file = [replace(items[3], id=f"copies of 3/{number}") for number in range(3)]
    small = webp(drawn(8).resize((60, 60)), 60)
    anew = replace(
        items[8], id="-8 anew", content_hash="8" * 64, thumbnail=small,
        embedding=unit(items[8].embedding + 0.005 * generator.normal(size=DIM)),
    )  # fmt: skip
    # As close, but another picture; and one without a picture at all.
    twin = replace(anew, id="a twin of 9", content_hash="9" * 64, thumbnail=webp(drawn(999)), embedding=unit(
        items[9].embedding + 0.005 * generator.normal(size=DIM)), labels=items[9].labels)  # fmt: skip
    blind = replace(twin, id="blind", content_hash="a" * 64, thumbnail=b"")
    catalogue.put([*items, *file, anew, twin, blind])
    diagnosis = examine(catalogue, quiet=True)
    first, second = diagnosis.findings
    assert (first.kind, first.ids, first.confidence) == ("duplicate", (items[3].id, *(one.id for one in file)), 1.0)
    assert (second.kind, second.ids, second.confidence) == ("duplicate", (items[8].id, "-8 anew"), None)
    assert any("have no thumbnail" in note for note in diagnosis.notes)
    for finding in diagnosis.findings:
        mend(finding)
        assert [one for one in finding.ids if catalogue.get(one) is not None] == [finding.ids[0]]
    assert examine(catalogue, quiet=True).findings == ()


def test_one_picture_under_two_labels_is_mended_as_its_neighbours_say(catalogue):
    items = clean_items()
    other = {"species": "s11", "genus": "G2"}
    catalogue.put([*items, *(replace(items[0], id=f"-{number}", labels=other) for number in range(2))])
    (finding,) = found(catalogue, "conflict")
    assert finding.labels == ("s0", "s11")  # although two of three items say otherwise
    assert finding.ids == (items[0].id, "-0", "-1")
    mend(finding)
    assert {tuple(catalogue.get(one).labels.values()) for one in finding.ids} == {("s0", "G0")}
    assert found(catalogue, "conflict") == []


def test_names_written_in_two_ways_become_one(catalogue):
    items = clean_items()
    for number in (12, 24):
        items[number] = replace(items[number], labels=items[number].labels | {"species": "S-0"})
    catalogue.put(items)
    (finding,) = found(catalogue, "spelling")
    assert finding.labels == ("s0", "S-0")
    mend(finding)
    assert catalogue.count('species == "s0"') == NUM_EACH
    assert found(catalogue, "spelling") == []


def test_two_labels_on_one_kind_of_thing_cannot_be_told_apart(catalogue):
    items = [
        replace(item, labels=item.labels | {"species": 'the "other" s0'})
        if item.labels["species"] == "s0" and number % 24
        else item
        for number, item in enumerate(clean_items(num_each=40))
    ]
    catalogue.put(items)
    (finding,) = found(catalogue, "confusable")
    assert set(finding.labels) == {"s0", 'the "other" s0'}
    mend(finding)
    assert catalogue.count(f'species == "{finding.labels[0]}"'.replace('"other"', '\\"other\\"')) == 40
    assert found(catalogue, "confusable") == []


@pytest.mark.parametrize("other", ["s0", "s99"])
def test_labels_that_become_one_are_under_one_coarser_label(catalogue, other):
    """Whether they are called the same, under two genera, or have names of their own."""
    items = [
        replace(item, labels={"species": other, "genus": "G 99"})
        if item.labels["species"] == "s0" and number % 24
        else item
        for number, item in enumerate(clean_items(num_each=40))
    ]
    catalogue.put(items)
    ids = [f"s0/{number:03}.jpg" for number in range(0, NUM_SPECIES * 40, NUM_SPECIES)]
    (finding,) = found(catalogue, "confusable", kinds=["confusable"])
    shown = {"s0": {"s0 (G0)", "s0 (G 99)"}, "s99": {"s0", "s99"}}
    assert set(finding.labels) == shown[other]
    mend(finding)
    assert len({tuple(catalogue.get(one).labels.items()) for one in ids}) == 1
    assert catalogue.count('species == "s0" or species == "s99"') == 40
    assert found(catalogue, "confusable", kinds=["confusable"]) == []


def test_ranks_that_the_catalogue_does_not_declare_stay_when_labels_become_one(catalogue):
    items = [
        replace(item, labels=item.labels | ({"species": "s99", "site": "B"} if number % 24 else {"site": "A"}))
        if item.labels["species"] == "s0"
        else item
        for number, item in enumerate(clean_items(num_each=40))
    ]
    catalogue.put(items)
    (finding,) = (one for one in found(catalogue, "confusable", kinds=["confusable"]) if one.rank == "species")
    mend(finding)
    assert catalogue.count(f'species == "{finding.labels[0]}" and site == "A"') == 20
    assert catalogue.count(f'species == "{finding.labels[0]}" and site == "B"') == 20


def test_a_name_of_two_labels_that_is_under_neither_is_not_the_one_that_stays(catalogue):
    items = [
        replace(item, labels={"species": "alba"}) if item.labels["species"] == "s0" and number % 48 else item
        for number, item in enumerate(named_alba(clean_items(num_each=40), "s5", "s9"))
    ]
    catalogue.put(items)
    (finding,) = found(catalogue, "confusable", kinds=["confusable"])
    assert set(finding.labels) == {"s0", "alba"}
    mend(finding)
    assert catalogue.count('species == "s0" and genus == "G0"') == 40
    assert catalogue.count('species == "alba" and not exists(genus)') == 0
    assert found(catalogue, "confusable", kinds=["confusable"]) == []


def named_alba(items, *species):
    """Items of some species whose names are the same, under their own genera."""
    return [
        replace(item, labels=item.labels | {"species": "alba"}) if item.labels["species"] in species else item
        for item in items
    ]


def test_a_name_under_two_genera_is_two_labels(catalogue):
    """A picture of the one under the other is found at the rank at which it is wrong; too few of one are few."""
    items = named_alba(clean_items(), "s0", "s5", "s9")
    catalogue.put(items)
    assert examine(catalogue, quiet=True).findings == ()
    catalogue.put([replace(items[5], labels={"species": "alba", "genus": "G0"})])
    (finding,) = found(catalogue, "mislabelled")
    assert (finding.ids, finding.rank) == ((items[5].id,), "species")
    assert finding.labels == ("alba (G0)", "alba (G1)")
    mend(finding)
    assert catalogue.get(items[5].id).labels == {"species": "alba", "genus": "G1"}
    of_genus = {
        genus: [item for item in items if item.labels == {"species": "alba", "genus": genus}] for genus in GENERA
    }
    catalogue.delete([item.id for genus, num in zip(GENERA, (10, 1, 1), strict=True) for item in of_genus[genus][num:]])
    few = found(catalogue, "small-label")
    assert [finding.labels for finding in few] == [("alba (G1)",), ("alba (G2)",)]
    assert "1 pictures of the species alba (G1)" in few[0].text
    assert "more-pictures/G1/alba/" in few[0].text


def test_a_label_with_too_few_items_is_mended_with_pictures(catalogue, tmp_path, monkeypatch):
    items = [item for item in clean_items() if item.labels["species"] != "s5" or item.id.startswith("s5/005")]
    catalogue.put(items)
    (finding,) = found(catalogue, "small-label")
    assert (finding.labels, finding.ids) == (("s5",), ("s5/005.jpg",))
    assert "more-pictures/G1/s5/" in finding.text
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "more-pictures" / "G1" / "s5"
    folder.mkdir(parents=True)
    for number in range(3):
        drawn(1000 + number).save(folder / f"{number}.png")
    mend(finding)
    assert catalogue.count('species == "s5"') == 4
    assert found(catalogue, "small-label") == []


def test_folders_of_a_catalogue_without_ranks_give_label_and_group(tmp_path, tiny_bundle, monkeypatch):
    """Of a group too, which is no folder by itself: pictures right in it would have it for a label."""
    items = [
        replace(item, labels=dict(zip(("label", "group"), item.labels.values(), strict=True))) for item in clean_items()
    ]
    alone = next(item for item in items if item.labels["label"] == "s5")
    items = [item for item in items if item.labels["group"] != "G1"] + [alone]
    with SqliteCatalogue.create(tmp_path / "catalogue", Bundle.open(tiny_bundle)) as catalogue:
        catalogue.put(items)
        few = {finding.rank: finding for finding in found(catalogue, "small-label")}
        assert few["label"].text.endswith(" into more-pictures/G1/s5/")
        assert few["group"].text.endswith(" into more-pictures/G1/LABEL/, with their own names for LABEL")
        monkeypatch.chdir(tmp_path)
        for label, seed in (("s5", 0), ("s6", 3)):
            folder = tmp_path / "more-pictures" / "G1" / label
            folder.mkdir(parents=True)
            for number in range(3):
                drawn(1000 + seed + number).save(folder / f"{number}.png")
        mend(few["group"])
        assert catalogue.count('group == "G1"') == 7
        assert catalogue.count('label == "s5"') == 4
        assert catalogue.count('label == "G1"') == 0


def test_what_no_folder_says_is_taken_in_by_a_table(catalogue, tmp_path, monkeypatch):
    items = clean_items()
    catalogue.put([replace(items[0], labels=items[0].labels | {"colour": "red"}), *items[1:]])
    catalogue.put([replace(item, labels=item.labels | {"colour": "blue"}) for item in items[1:]])
    (finding,) = found(catalogue, "small-label")
    assert "into more-pictures.csv, with columns path and colour" in finding.text
    monkeypatch.chdir(tmp_path)
    drawn(1000).save(tmp_path / "new.png")
    (tmp_path / "more-pictures.csv").write_text("path,colour\nnew.png,red\n")
    mend(finding)
    assert catalogue.get("new.png").labels == {"colour": "red"}


def test_an_item_far_from_everything_is_an_outlier(catalogue):
    items = clean_items()
    axis = np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, DIM)))[0][NUM_SPECIES + 3]
    items[50] = replace(items[50], embedding=unit(axis))
    catalogue.put(items)
    (finding,) = found(catalogue, "outlier")
    assert finding.ids == (items[50].id,)
    mend(finding)
    assert catalogue.get(items[50].id) is None
    assert found(catalogue, "outlier") == []


def test_without_labels_only_pictures_are_examined(catalogue):
    items = [replace(item, labels={}) for item in clean_items()]
    catalogue.put([*items, replace(items[0], id="again")])
    diagnosis = examine(catalogue, quiet=True)
    assert [(finding.kind, finding.ids) for finding in diagnosis.findings] == [("duplicate", (items[0].id, "again"))]
    assert diagnosis.notes == ("no item has a label: only the pictures were examined",)


@pytest.mark.parametrize(
    ("labels", "note"),
    [(lambda number: "one", "all items have the same species"), (lambda number: f"s{number}", "no species has two")],
)
def test_one_label_or_one_item_each_leave_nothing_to_judge(catalogue, labels, note):
    catalogue.put([replace(item, labels={"species": labels(number)}) for number, item in enumerate(clean_items(12, 3))])
    diagnosis = examine(catalogue, quiet=True, kinds=["mislabelled", "confusable", "outlier"])
    assert diagnosis.findings == ()
    assert [one for one in diagnosis.notes if note in one]


def test_labels_that_the_encoder_cannot_tell_apart_are_not_called_wrong(catalogue):
    lot = np.random.default_rng(0).integers(0, 4, 240)
    catalogue.put([replace(item, labels={"species": f"s{lot[n]}"}) for n, item in enumerate(clean_items())])
    diagnosis = examine(catalogue, quiet=True, kinds=["mislabelled"])
    assert diagnosis.findings == ()
    assert "does not tell them apart" in diagnosis.notes[0]


def test_an_empty_catalogue_and_a_single_item(catalogue):
    assert examine(catalogue, quiet=True).num_items == 0
    catalogue.put(clean_items(1, 1))
    assert [finding.kind for finding in examine(catalogue, quiet=True).findings] == ["small-label", "small-label"]


def test_a_sample_is_asked_against_all_and_a_filter_leaves_items_out(catalogue):
    items = clean_items()
    items[30] = replace(items[30], labels={"species": "s0", "genus": "G0"})
    catalogue.put([*items, replace(items[3], id="again")])
    diagnosis = examine(catalogue, sample=40, quiet=True)
    assert diagnosis.num_asked == 40
    assert "sample of 240" in diagnosis.notes[0]
    assert [finding.ids for finding in diagnosis.findings if finding.kind == "duplicate"] == [(items[3].id, "again")]
    for few in range(1, 12):  # of which most labels have none
        assert examine(catalogue, sample=few, seed=few, quiet=True).num_asked == few
    assert examine(catalogue, filter='genus == "G0"', quiet=True).num_items == 82
    with pytest.raises(FilterError):
        examine(catalogue, filter="gens == 1", quiet=True)


@needs_milvus
def test_a_catalogue_in_milvus_is_examined_too(tmp_path, tiny_bundle):
    items = clean_items(4, 12)
    items[9] = replace(items[9], labels={"species": "s2", "genus": "G0"})
    with create_lite(tmp_path / "c", tiny_bundle, ranks=("species", "genus")) as catalogue:
        catalogue.put([*items, replace(items[3], id="again")])
        diagnosis = examine(catalogue, quiet=True)
    assert [(one.kind, one.ids[0]) for one in diagnosis.findings] == [
        ("mislabelled", items[9].id),
        ("duplicate", "again"),
    ]


NASTY = ["-x", "--help", "a b", "it's", 'a "b"', "$(touch x)", "`x`", "a\nb", "a\\b", "ä🦋", "*", "a=b", "~", "; rm"]


def test_commands_reach_a_shell_as_they_are_meant(tmp_path):
    mending = Mending(tmp_path / "a $HOME 'b'")
    catalogue = str(tmp_path / "a $HOME 'b'")
    quoted = ", ".join(sorted('"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in NASTY))
    index = ["lodisc", "index"]
    assert shell_words(mending.remove(NASTY)) == [*index, "remove", catalogue, "--", *NASTY]
    assert shell_words(mending.relabel(NASTY, {"common name": "it's -x"}, ["a b"])) == [
        *index, "relabel", catalogue, f"--filter=id in ({quoted})", "--set", "common name=it's -x", "--unset=a b",
    ]  # fmt: skip
    assert shell_words(mending.rename("common ]name", NASTY, {"common ]name": "$x"})) == [
        *index, "relabel", catalogue, "--filter", f"[common ]]name] in ({quoted})", "--set", "common ]name=$x",
    ]  # fmt: skip
    assert shell_words(mending.add("more pictures")) == [*index, "add", catalogue, "--images", "more pictures"]
    assert Mending(type(tmp_path)("-c")).remove(["x"]) == "lodisc index remove ./-c x"


def test_commands_with_the_oddest_names_do_what_they_say(catalogue):
    items = clean_items(len(NASTY), 1)
    ranks = {"common ]name": "x", "in": "y"}
    catalogue.put(
        [replace(item, id=name, labels={**ranks, "in": name}) for item, name in zip(items, NASTY, strict=True)]
    )
    mending = Mending(catalogue.path)
    run(mending.relabel(NASTY[:5], {"common ]name": "it's -x"}, ["in"]))
    assert [catalogue.get(name).labels for name in NASTY[:5]] == [{"common ]name": "it's -x"}] * 5
    run(mending.relabel(NASTY[2:5], {"common ]name": "z"}))
    run(mending.rename("in", NASTY[5:], {"in": "--new"}))
    assert {tuple(catalogue.get(name).labels.items()) for name in NASTY[5:]} == {
        (("common ]name", "x"), ("in", "--new"))
    }
    run(mending.rename("common ]name", ["x"], {"common ]name": "w"}))
    assert catalogue.get(NASTY[6]).labels["common ]name"] == "w"
    run(mending.remove(NASTY))
    assert catalogue.count() == 0
