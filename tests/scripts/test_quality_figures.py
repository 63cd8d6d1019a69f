"""The README's table of the method from a small result, cell by cell."""

import pytest
import quality_figures


def run(method, seed, value, *, pictures=640, name="cars", figures=quality_figures.FIGURES, half=0.05):
    told = {figure: {"value": value, "low": value - half, "high": value + half} for figure in figures}
    return {"set": name, "method": method, "seed": seed, "pictures": pictures, "steps": 10, "figures": told}


@pytest.fixture
def result():
    runs = [
        run("colour_histogram", 0, 0.2, pictures=0), run("hog_and_colour", 0, 0.25, pictures=0),
        *(run("moco_v3", seed, value) for seed, value in enumerate((0.1, 0.2, 0.3))),
        run("moco_v3", 3, 0.9, pictures=99),
        *(run("drop_rerank", seed, 0.3, figures=("rank_1", "rank_5", "mAP")) for seed in range(3)),
        run("bundle_demo", 0, 0.5, pictures=0),
    ]  # fmt: skip
    size = {"encoder": "nano", "patch_size": 16, "image_size": 96, "batch_size": 64}
    return {
        "protocols": {"cars": "leave one out in test"}, "pictures": 640, "runs": runs, "differences": [],
        "size": size, "device": "cpu", "date": "2026-01-01",
    }  # fmt: skip


def cells(text, second):
    (row,) = [line for line in text.splitlines() if f"| {second} |" in line]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_mean_and_deviation_over_seeds_and_the_interval_of_a_lone_run(result):
    text = quality_figures.table(result)
    assert cells(text, "MoCo v3")[2:] == ["20.0 ± 10.0"] * 5  # the run of other length is not in it
    assert (
        cells(text, "colour histogram")
        == ["cars: leave one out in test", "colour histogram"] + ["20.0 (15.0-25.0)"] * 5
    )
    assert cells(text, "LoDisc, drop + re-ranking")[2:] == ["30.0 ± 0.0"] * 3 + ["-", "-"]
    assert "640 pictures in 10 steps, 3 seeds" in text


def test_a_bundle_is_above_where_no_interval_overlaps(result):
    sentence = "bundle demo lies above both hand-made baselines, with intervals that do not overlap, on: "
    assert sentence + "cars." in quality_figures.table(result)
    result["runs"][-1] = run("bundle_demo", 0, 0.34, pictures=0)
    assert sentence + "no set." in quality_figures.table(result)


def test_differences_and_on_how_many_sets_they_are_sure(result):
    def one(name, value, half):
        told = {figure: {"value": value, "low": value - half, "high": value + half} for figure in ("rank_1", "mAP")}
        return {"set": name, "first": "drop", "second": "moco_v3", "seeds": [0, 1, 2], "figures": told}

    result["protocols"] = dict.fromkeys(("cars", "grocery", "monkeys"), "some")
    result["differences"] = [one("cars", 0.02, 0.01), one("grocery", 0.01, 0.02), one("monkeys", -0.03, 0.01)]
    result["differences"][2]["seeds"] = [0]
    text = quality_figures.differences(result)
    assert "| difference, points | | cars (3 seeds) | grocery (3 seeds) | monkeys (1 seed) |" in text
    assert (
        "| LoDisc, drop − MoCo v3 | rank-1 | +2.0 (+1.0 to +3.0) | +1.0 (-1.0 to +3.0) | -3.0 (-4.0 to -2.0) |" in text
    )
    assert "LoDisc, drop is above MoCo v3 in rank-1 on 1 of 3 sets, below on 1, and on 1 the interval holds 0." in text


def test_without_differences_it_says_so(result):
    assert quality_figures.differences(result).startswith("Not measured")
