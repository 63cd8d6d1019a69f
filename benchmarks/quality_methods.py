"""The rows of the table: how each method's encoder comes about, and what becomes of the test pictures by it.

Every trained method of a seed gets the same initial weights, pictures, steps, batch and augmentation; only its recipe
file differs. `labels` is `drop` that reads the labels, and puts its batches together by them. Re-ranking changes no
weight: it is measured with those of `drop`.
"""

# N pictures, D embedding dim.

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from quality_embedding import EmbedBatch, Embedded, bundle_embedder, embed_all, network_embedder
from quality_measure import Outcomes, measure
from quality_pictures import PhotographSet, Split
from quality_rerank import measure_reranked

from encoder.bundle import Bundle
from encoder.image_encoder import ImageEncoder
from encoder.manifest import Preprocessing
from training.checkpoint import build_model, load_model
from training.device import resolve_precision
from training.embedding import EmbeddingModel, serving_preprocessing
from training.model import LoDisc
from training.pictures import open_picture_store
from training.recipe import Recipe, load_recipe
from training.selection import select_pictures
from training.start import first_weights
from training.trainer import train

Measured = Iterator[tuple[str, Outcomes, dict[str, Any]]]


# Of each trained row, the recipe of the project.
TRAINED = {
    "moco_v3": "moco_v3",
    "zero": "paper",
    "drop": "drop",
    "random_mask": "random_mask",
    "labels": "labels",
}
HAND_MADE: dict[str, Callable[[Split], NDArray[Any]]] = {
    "colour_histogram": Split.histograms,
    "hog_and_colour": Split.gradients_and_color,
}
RERANKED = "drop"
UNTRAINED = ("untrained", "learnt_stem")
METHODS = (*HAND_MADE, *UNTRAINED, *TRAINED, f"{RERANKED}_rerank")
# What two CPU cores can train in minutes and still learn from: the start and the colours of `default_cpu`.
SIZE: dict[str, Any] = {
    "encoder": "nano", "image_size": 64, "patch_size": 8, "stem": "conv", "stem_init": "pca", "residual_scale": 0.1,
    "hidden_dim": 512, "projection_dim": 128, "batch_size": 64, "lr": 2e-3, "weight_decay": 0.05, "crop_min": 0.2,
    "jitter": (0.4, 0.4, 0.2, 0.02), "greyscale_prob": 0.0, "solarise_prob": (0.0, 0.0), "precision": "auto",
}  # fmt: skip


def recipe_of(method: str, seed: int, num_pictures: int, num_train: int, device: torch.device) -> tuple[Recipe, int]:
    """The recipe of one run, and its number of steps; the schedule ends with the run."""
    steps_per_epoch = num_train // SIZE["batch_size"]
    epochs = max(1, round(num_pictures / SIZE["batch_size"] / steps_per_epoch))
    recipe = load_recipe(TRAINED[method], {**SIZE, "seed": seed, "epochs": epochs})
    return resolve_precision(recipe, device), epochs * steps_per_epoch


def hand_made(each: PhotographSet, method: str) -> Measured:
    """A descriptor that nothing was learnt for."""
    make = HAND_MADE[method]
    yield method, measure(each, make(each.test), make(each.train)), {}


def untrained(each: PhotographSet, seed: int, device: torch.device, store: Path) -> Measured:
    """The network with random weights, and with the stem that every trained method of a seed begins from.

    Args:
        each: the set.
        seed: of weights and windows.
        device: that embeds.
        store: for the decoded pictures, which stay.
    """
    recipe, _ = recipe_of("moco_v3", seed, 0, len(each.train), device)
    listing = select_pictures(recipe, each.train.folder).division.trained
    pictures = open_picture_store(listing, each.train.folder, store, recipe.image_size)
    makers = (lambda: build_model(recipe), lambda: first_weights(recipe, pictures)[0])
    for method, make in zip(UNTRAINED, makers, strict=True):
        # Made anew: measuring moves a model to the device, and a stem is learnt on the CPU.
        test, learnt = _embed_with(each, make(), recipe, device, patches=False)
        yield method, measure(each, test.embedding_ND, learnt.embedding_ND), {}


def trained(
    each: PhotographSet, method: str, seed: int, num_pictures: int, device: torch.device, work: Path, store: Path
) -> Measured:
    """Train one method and measure it; with `drop` also what re-ranking makes of it.

    Args:
        each: the set.
        method: of TRAINED.
        seed: of weights, order and augmentation.
        num_pictures: seen in training, rounded to whole epochs.
        device: that trains.
        work: for the run, which is removed.
        store: for the decoded pictures, which stay.
    """
    recipe, num_steps = recipe_of(method, seed, num_pictures, len(each.train), device)
    patches = method == RERANKED
    test, learnt, about = train_and_embed(each, recipe, device, work / f"{each.name}-{method}-{seed}", store, patches)
    about["steps"] = num_steps
    yield method, measure(each, test.embedding_ND, learnt.embedding_ND), about
    if patches:
        outcomes, weight = measure_reranked(each, test, learnt)
        yield f"{method}_rerank", outcomes, about | {"weight": weight}


def train_and_embed(
    each: PhotographSet, recipe: Recipe, device: torch.device, run: Path, store: Path, patches: bool = False
) -> tuple[Embedded, Embedded, dict[str, Any]]:
    """Train on a set and embed its test and train pictures; also what is to be told of the run, which is removed."""
    run.mkdir()
    store.mkdir(parents=True, exist_ok=True)
    (run / "pictures").symlink_to(store.resolve())
    started = time.monotonic()
    outcome = train(recipe, each.train.folder, run, device=device, quiet=True)
    if outcome.interrupted:
        raise SystemExit(f"stopped in {run.name}; the same command begins that run again")
    seconds = time.monotonic() - started
    last = json.loads((run / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    test, learnt = _embed_with(each, load_model(run)[0], recipe, device, patches=patches)
    shutil.rmtree(run)
    return test, learnt, {"seconds": round(seconds), "Lg": last["Lg"], "Ll": last["Ll"]}


def of_bundle(each: PhotographSet, path: Path, threads: int) -> Measured:
    """An encoder as it would be served; re-ranked too, if it gives patches."""
    bundle = Bundle.open(path)
    embed = bundle_embedder(ImageEncoder(bundle, num_threads=threads))
    test, learnt = _embed_splits(each, embed, bundle.manifest.preprocessing)
    name, about = bundle_name(bundle), {"bundle": bundle.manifest.id, "trained_on": bundle.manifest.trained_on}
    yield name, measure(each, test.embedding_ND, learnt.embedding_ND), about
    if test.patches:
        outcomes, weight = measure_reranked(each, test, learnt)
        yield f"{name}_rerank", outcomes, about | {"weight": weight}


def bundle_name(bundle: Bundle) -> str:
    """What its row is called."""
    return f"bundle_{bundle.manifest.name}"


def _embed_with(
    each: PhotographSet, model: LoDisc, recipe: Recipe, device: torch.device, *, patches: bool
) -> tuple[Embedded, Embedded]:
    embed = network_embedder(EmbeddingModel.from_lodisc(model, recipe.feature), device, patches=patches)
    return _embed_splits(each, embed, serving_preprocessing(recipe.image_size))


def _embed_splits(each: PhotographSet, embed: EmbedBatch, preprocessing: Preprocessing) -> tuple[Embedded, Embedded]:
    return embed_all(embed, each.test.pixels(preprocessing)), embed_all(embed, each.train.pixels(preprocessing))
