"""Whether the strongest region of an explanation lies on a mark of the demo's insects.

Each specimen is searched for among the indexed ones, and its first match explained. A patch lies on a mark if it holds
at least a quarter of the area of a visible one, which of a mark over four patches one does; that it touches one is told
beside. The controls: the patch with the highest patch score of the same encoder; that of the same network untrained;
the patch whose blurring moves the untrained network's embedding most; the patch whose pixels blurring changes most,
without any encoder; all patches alike. On these drawings the last but one finds marks more often than any encoder: they
are what there is to see. So the figure says that explanations point to what a person can check, as patch scores do not;
that the encoder decides by it, it does not prove.
"""

# P patches.

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.bootstrap import mean_figure
from encoder.bundle import Bundle
from encoder.image_encoder import ImageEncoder
from encoder.preprocessing import decode_picture, preprocess, read_picture
from index.answers.explanation import seen_box
from index.answers.influence import blurred, with_influence
from index.answers.local_build import make_local_features
from index.answers.local_features import PivotalPatches
from index.answers.local_search import LocalPlan, QueryPicture, plan_local
from index.answers.rerank_fit import fit
from index.build import build
from index.sources.reading import read_source
from index.sqlite_catalogue import SqliteCatalogue
from lodisc.insects.pointing import mark_shares, read_marks
from lodisc.insects.specimens import write_specimens

BUNDLES = Path(__file__).parent.parent / "bundles"
RANKS = ("species", "genus")
DEFINITIONS = {"on_a_mark": 0.25, "touches_a_mark": 0.0}


def measure(folder: Path) -> dict[str, Any]:
    """Draw, index, explain.

    Args:
        folder: for the specimens and the catalogue.
    """
    specimens = write_specimens(folder / "insects")
    encoder = ImageEncoder(Bundle.open(BUNDLES / "demo"), num_threads=1)
    untrained = ImageEncoder(Bundle.open(BUNDLES / "demo-untrained"), num_threads=1)
    with SqliteCatalogue.create(folder / "catalogue", Bundle.open(BUNDLES / "demo"), ranks=RANKS) as made:
        build(made, encoder, read_source(specimens / "train", RANKS), quiet=True)
        make_local_features(made, encoder, quiet=True)
        fit(made, quiet=True)
        plan = plan_local(made, rerank=None, explains=True, has_patches=True)
        assert plan is not None
        pointed: dict[str, list[int]] = {"explanation": [], "patch_scores": [], "untrained_patch_scores": []}
        pointed |= {"untrained_influence": [], "pixels_alone": []}
        shares = []
        for relative, marks in read_marks(specimens, "test").items():
            picture = decode_picture(read_picture(specimens / relative))
            pixels = preprocess(picture, encoder.manifest.preprocessing)
            grid = encoder.manifest.patch_grid or (1, 1)
            patch, scores_P = _explained(plan, encoder, pixels, (picture.width, picture.height))
            pointed["explanation"].append(patch)
            pointed["patch_scores"].append(int(scores_P.argmax()))
            raw = with_influence(untrained, pixels)[1]
            assert raw.influence_P is not None
            pointed["untrained_patch_scores"].append(int(raw.scores_A.argmax()))
            pointed["untrained_influence"].append(int(raw.positions_P[raw.influence_P.argmax()]))
            pointed["pixels_alone"].append(_most_changed(pixels, grid))
            box = encoder.manifest.preprocessing.crop_box(*picture.size)
            shares.append(mark_shares(marks, box, grid).max(axis=0))
    return {"pictures": len(shares), **_told(np.array(shares), pointed)}


def _explained(
    plan: LocalPlan, encoder: ImageEncoder, pixels: NDArray[np.uint8], size: tuple[int, int]
) -> tuple[int, NDArray[np.float32]]:
    """The strongest patch of the query in the explanation of its first match, and all patch scores, shape (P,)."""
    embedding_D, patches = with_influence(encoder, pixels)
    query = plan.photographs({0: QueryPicture(patches, seen_box(encoder.manifest, *size))})
    found = plan.catalogue.search(embedding_D[None], k=plan.num_candidates(5))[0]
    explanation = plan.explanations(plan.order(found, query, 5), query)[0]
    assert explanation is not None
    return explanation["pairs"][0]["query"]["patch"], patches.scores_A


def _most_changed(pixels_SS3: NDArray[np.uint8], grid: tuple[int, int]) -> int:
    """The patch whose pixels blurring changes most."""
    positions_P = np.arange(grid[0] * grid[1])
    every = PivotalPatches(positions_P, np.empty((len(positions_P), 0), np.float32), np.empty(0, np.float32))
    changed_PSS3 = blurred(pixels_SS3, every, grid).astype(np.int64) - pixels_SS3
    return int(np.square(changed_PSS3).sum(axis=(1, 2, 3)).argmax())


def _told(shares_NP: NDArray[np.float64], pointed: dict[str, list[int]]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for definition, least in DEFINITIONS.items():
        on_NP = shares_NP >= least if least else shares_NP > 0
        told[definition] = {"any_patch": round(float(on_NP.mean()), 3)}
        for name, patches in pointed.items():
            figure = mean_figure(on_NP[np.arange(len(on_NP)), patches].astype(np.float64))
            told[definition][name] = [round(value, 3) for value in (figure.value, figure.low, figure.high)]
    return told
