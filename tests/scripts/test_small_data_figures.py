"""The table of what was tried, by hand."""

import small_data_figures


def run(row, seed, value):
    figures = {figure: {"value": value} for figure in small_data_figures.FIGURES}
    return {"row": row, "seed": seed, "figures": figures}


def test_rows_keep_their_order_and_show_mean_and_spread():
    runs = [run("noise", 0, 0.2), run("+ stem", 0, 0.4), run("noise", 1, 0.3), run("+ stem", 1, 0.4)]
    result = {"set": "flowers17", "protocol": "leave one out", "pictures": 64, "date": "2026-01-01", "runs": runs}
    lines = small_data_figures.table(result).splitlines()
    assert lines[2] == "| noise | " + " | ".join(["25.0 ± 7.1"] * 4) + " |"
    assert lines[3] == "| + stem | " + " | ".join(["40.0 ± 0.0"] * 4) + " |"
    assert "64 pictures seen a run, 2 seeds" in lines[-1]


def test_a_row_that_has_a_seed_less_says_so():
    runs = [run("noise", 0, 0.2), run("noise", 1, 0.3), run("+ stem", 0, 0.4)]
    result = {"set": "flowers17", "protocol": "leave one out", "pictures": 64, "date": "2026-01-01", "runs": runs}
    text = small_data_figures.table(result)
    assert "| + stem | 40.0 | " in text
    assert "1 to 2 seeds" in text
