"""Figures of a run on the test pictures of packed sets, beside the hand-made and the untrained, kept as JSON."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from encoder.errors import SourceError
from training.checkpoint import BEST_NAME, CHECKPOINT_NAME, checkpoint_path, read_state
from training.embedders import LabelledPictures, labelled_pictures
from training.evaluation import Evaluation, evaluate
from training.packs import PackedSet, PackIndex, gallery_labels, read_index, unpack
from training.recipe import recipe_values
from training.run_note import read_note, require_packs_of

LEAVE_ONE_OUT = "leave one out in test"
TRAIN_GALLERY = "test queries, train gallery"


def chosen_checkpoint(run: Path) -> Path:
    """What a run gives: the best on its held-out pictures where it held any out, else the last.

    Raises:
        ConfigError: there is none.
    """
    best = run / BEST_NAME
    path = checkpoint_path(run)
    return best if read_state(run).recipe.holdout > 0 and best.is_file() else path


def measure_run(
    run: Path,
    packs: Path,
    pictures: Path,
    out: Path,
    *,
    device: torch.device,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure every set that has test pictures; sets that `out` already has of this checkpoint are not done again.

    Args:
        run: folder of the run.
        packs: folder of packs.json.
        pictures: where packs are unpacked.
        out: the JSON file, written after each set.
        device: where to compute.
        tell: called with a line before each set.

    Returns:
        What `out` holds: `checkpoint`, `run` (to its end), `recipe`, `training` (packs, device, earlier stages),
        `num_pictures`, `seconds`, `sets`: by name protocol, num_queries, num_without_positive and methods: by name
        rank_1, rank_5 and mAP with value, low, high; `not_measured`: by name why a set could not be.

    Raises:
        ConfigError: there is no run, or it was trained on other packs.
        SourceError: a pack is missing or damaged.
    """
    source, index = chosen_checkpoint(run), read_index(packs)
    document = _document(run, source, index)
    require_packs_of(document["training"], run, packs, index)
    if out.is_file():
        before = json.loads(out.read_text(encoding="utf-8"))
        if {**before, "sets": {}, "not_measured": {}} == document:
            document |= before
    tested = [each for each in index.sets if each.num_test]
    if any(each.name not in document["sets"] for each in tested):
        unpack(packs, "test", pictures)
        if any(each.gallery_is_train for each in tested):
            unpack(packs, "train", pictures)
    for each in tested:
        if each.name in document["sets"]:
            tell(f"{each.name} is measured already")
            continue
        tell(f"measuring {each.name}: {each.num_test} test pictures")
        try:
            queries = labelled_pictures(pictures / "test" / each.name)
            gallery = _gallery(each, index, pictures) if each.gallery_is_train else None
            found = evaluate(source, queries, gallery, device=device)
        except SourceError as error:  # no label, one label, or none with two pictures: it says nothing of the encoder
            document["not_measured"][each.name] = str(error)
            tell(f"{each.name} is not measured: {error}")
        else:
            document["sets"][each.name] = _measured(found, TRAIN_GALLERY if gallery else LEAVE_ONE_OUT)
        _write(document, out)
    _write(document, out)
    return document


def figure_lines(document: dict[str, Any]) -> list[str]:
    """One line a set and method, for a person."""
    return [
        f"{name} ({measured['protocol']}): {method:<16} "
        + "  ".join(f"{key} {one['value']:.3f} ({one['low']:.3f}-{one['high']:.3f})" for key, one in figures.items())
        for name, measured in document["sets"].items()
        for method, figures in measured["methods"].items()
    ]


def sha256_of_checkpoint(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _document(run: Path, source: Path, index: PackIndex) -> dict[str, Any]:
    """What the figures are of, without any."""
    state, last = read_state(source), read_state(checkpoint_path(run))
    return {
        "checkpoint": {
            "file": source.name if source.name == BEST_NAME else CHECKPOINT_NAME,
            "sha256": sha256_of_checkpoint(source),
            "step": state.step,
            "num_steps": state.num_steps,
            "epochs": state.epochs,
        },
        "run": {
            "step": last.step,
            "num_steps": last.num_steps,
            "epochs": last.epochs,
        },
        "recipe": recipe_values(state.recipe),
        "training": read_note(run),
        "num_pictures": state.num_pictures,
        "seconds": last.seconds,
        "test_packs": index.digest("test"),
        "sets": {},
        "not_measured": {},
    }


def _gallery(each: PackedSet, index: PackIndex, pictures: Path) -> LabelledPictures:
    if index.labelled:
        return labelled_pictures(pictures / "train" / each.name)
    labels = gallery_labels(pictures, each.name)
    return LabelledPictures([pictures / "train" / name for name in labels], list(labels.values()), [])


def _measured(found: dict[str, Evaluation], protocol: str) -> dict[str, Any]:
    results = found["encoder"].results
    assert results is not None
    return {
        "protocol": protocol,
        "num_queries": len(results.labels),
        "num_without_positive": results.num_without_positive,
        "methods": {
            method: {name: asdict(figure) for name, figure in one.figures.items()} for method, one in found.items()
        },
    }


def _write(document: dict[str, Any], out: Path) -> None:
    partial = out.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    partial.replace(out)
