"""report.html, its charts and masks, and TensorBoard's files: what a person finds when a run is over."""

import json
import re
import struct
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from pictures import write_picture_folder
from tensorboardX.proto.event_pb2 import Event

from encoder.svg_curve import svg_chart
from training.mask_pictures import mask_sheet
from training.recipe import Recipe
from training.report import read_log, write_report
from training.tensorboard import TensorBoardLog
from training.trainer import train

CPU = torch.device("cpu")
RECIPE = Recipe(
    encoder="nano", image_size=32, patch_size=16, hidden_dim=32, projection_dim=16, epochs=3, batch_size=3, lr=1e-3,
    holdout=0.4, seed=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    train(RECIPE, write_picture_folder(folder / "photos"), folder / "run <1>", device=CPU, quiet=True)
    return folder / "run <1>"


class Headings(HTMLParser):
    found: list[str]

    def __init__(self):
        super().__init__()
        self.found, self.inside, self.external = [], False, []

    def handle_starttag(self, tag, attrs):
        self.inside = tag in ("h1", "h2")
        self.external += [value for name, value in attrs if name in ("src", "href") and not value.startswith("data:")]

    def handle_data(self, data):
        if self.inside and data.strip():
            self.found.append(data.strip())
            self.inside = False


def test_the_report_has_curves_scores_masks_recipe_and_versions_in_one_file(run):
    text = (run / "report.html").read_text()
    page = Headings()
    page.feed(text)
    assert page.found == ["Training run run <1>", "Curves", "Pivotal patches", "Recipe", "Versions"]
    assert page.external == []  # readable without a network
    for part in ("Lg (global)", "Ll (local)", "rank-1", "rank-5", "mAP", "learning rate", "share of time waiting"):
        assert part in text
    assert "keep_ratio = 0.3" in text
    assert f"<th>torch<td>{torch.__version__}" in text
    assert "on pictures held out of training" in text
    for svg in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        ElementTree.fromstring(svg)  # well-formed


def test_it_says_the_same_when_it_is_made_again(run):
    before = (run / "report.html").read_text()
    assert write_report(run).read_text() == before


def test_of_a_step_that_was_done_twice_the_later_line_counts(tmp_path):
    lines = [{"step": 2, "Lg": 1.0}, {"step": 4, "Lg": 0.9}, {"step": 4, "Lg": 0.8}]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 6, "L')
    assert read_log(tmp_path / "log.jsonl") == [{"step": 2, "Lg": 1.0}, {"step": 4, "Lg": 0.8}]


def test_a_run_that_never_finished_an_epoch_has_a_report(tmp_path):
    assert "No epoch is finished yet" in write_report(tmp_path).read_text()


def test_a_chart_places_its_points_where_they_belong():
    svg = ElementTree.fromstring(svg_chart("loss & co", {"Lg": [(1, 0.0), (2, 10.0), (3, 5.0)], "gone": []}))
    (line,) = (node for node in svg.iter() if node.tag.endswith("polyline"))
    (x1, y1), (x2, y2), (x3, y3) = (map(float, point.split(",")) for point in line.get("points").split())
    assert x1 < x2 < x3
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y2 < y3 < y1  # larger is higher, and up is less in SVG
    assert y3 - y2 == pytest.approx(y1 - y3, abs=0.2)
    assert svg_chart("empty", {"a": [], "b": [(1.0, float("nan"))]}) == ""


def test_constant_and_single_points_have_an_axis():
    for points in ([(1, 0.0)], [(1, 3.0), (2, 3.0)], [(1, 1e-9), (2, 2e-9)], [(1, -5.0), (2, 5e6)]):
        svg = ElementTree.fromstring(svg_chart("one", {"a": points}))
        assert len([node for node in svg.iter() if node.tag.endswith("line")]) >= 2


def test_a_mask_sheet_dims_what_is_not_pivotal():
    pixels = np.full((1, 8, 8, 3), 200, np.uint8)
    mask = np.array([[True, False, False, True]])
    sheet = mask_sheet(pixels, mask)
    below = sheet[8:16, :8, 0]
    expected = np.kron([[200, 40], [40, 200]], np.ones((4, 4)))
    np.testing.assert_array_equal(below, expected)
    np.testing.assert_array_equal(sheet[:8, :8], pixels[0])


def events(folder):
    """Every event of a folder's files, read by the format: length, its checksum, content, its checksum."""
    found = []
    for path in sorted(folder.iterdir()):
        content, start = path.read_bytes(), 0
        while start < len(content):
            (length,) = struct.unpack_from("<Q", content, start)
            found.append(Event.FromString(content[start + 12 : start + 12 + length]))
            start += 12 + length + 4
    return found


def test_tensorboard_gets_the_log_and_the_masks(run):
    written = events(run / "tensorboard")
    lines = read_log(run / "log.jsonl")
    for tag, key in (("epoch/Lg", "Lg"), ("epoch/mAP", "mAP"), ("epoch/embedding_rank", "embedding_rank")):
        points = {
            event.step: value.simple_value for event in written for value in event.summary.value if value.tag == tag
        }
        assert points == {line["step"]: pytest.approx(line[key]) for line in lines}
    steps = [event.step for event in written for value in event.summary.value if value.tag == "loss/Lg"]
    assert steps == list(range(1, lines[-1]["step"] + 1))
    pictures = [value.image for event in written for value in event.summary.value if value.HasField("image")]
    assert len(pictures) == RECIPE.epochs
    assert all(picture.encoded_image_string.startswith(b"\x89PNG") for picture in pictures)
    assert len(list((run / "masks").glob("epoch-*.png"))) == RECIPE.epochs


def test_a_resumed_run_hides_what_was_logged_beyond_its_checkpoint(tmp_path):
    for first_step in (0, 4):
        log = TensorBoardLog(tmp_path, first_step)
        log.scalars(first_step + 1, {"loss/Lg": 1.5})
        log.close()
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2  # also when both begin within a second
    (start,) = (event for event in events(tmp_path / "tensorboard") if event.HasField("session_log"))
    assert (start.step, start.session_log.status) == (5, 1)
