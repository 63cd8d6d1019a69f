"""Networks of our own ViT: a training run, or published weights that fit it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from encoder.errors import ConfigError
from encoder.manifest import OUTPUTS, Pruning
from encoder.shell_words import path_word
from export.network import Network
from export.serving_graph import ServingGraph
from training.checkpoint import RunState, build_model, load_encoder
from training.embedding import EmbeddingModel, serving_preprocessing
from training.init_report import InitReport
from training.initial_weights import start_model
from training.recipe import Recipe, recipe_from_values, recipe_values
from training.run_note import read_note
from training.second_stage import is_run
from training.supervision import labels_sentence


def run_network(run: Path, *, untrained: bool = False) -> Network:
    """The encoder of a training run.

    Args:
        run: folder of `lodisc train`, or one of its checkpoints.
        untrained: random weights in their place, by the recipe's seed: the control of a comparison. They have neither
            what `init` names nor a learnt stem or whitening, as in `training.embedders.run_embedders`.

    Raises:
        ConfigError: no checkpoint, or one that cannot be read.
    """
    model, state = load_encoder(run)
    recipe = state.recipe
    earlier = read_note(run if run.is_dir() else run.parent).get("earlier", ())
    if untrained:
        recipe = replace(recipe, init="", stem_init="random", whitening=0.0)
        model = build_model(recipe)
    return _network(
        EmbeddingModel.from_lodisc(model, recipe.feature),
        recipe,
        source="a run of lodisc train",
        licence="not stated",
        trained_on="nothing: these are random weights" if untrained else _trained_on(state),
        domain="nothing" if untrained else _data_name(Path(state.data)),
        pictures=Path(state.data),
        recorded=_architecture(recipe) if untrained else recipe_values(recipe),
        labels="" if untrained else labels_sentence(recipe_values(recipe), earlier),
    )


def published_network(weights: str, settings: Mapping[str, Any]) -> tuple[Network, InitReport]:
    """Published weights in one of the key layouts that training begins from, as they are.

    Args:
        weights: a file, an https address, or timm:NAME, as `lodisc train --init` takes it.
        settings: recipe fields that describe the architecture: encoder, image_size, patch_size ...

    Raises:
        ConfigError: it cannot be read, or is of another architecture; the message names the flags that mend it.
    """
    if is_run(weights):
        raise ConfigError(
            f"{weights} is of a run of lodisc train; export it by `lodisc export {path_word(weights)} --out BUNDLE`"
        )
    recipe = recipe_from_values({**settings, "init": weights}, "--init")
    if recipe.stem != "patch" or any(part in recipe.feature for part in ("projector", "predictor")):
        raise ConfigError("published weights have a patch stem and the features cls and mean, or both joined by +")
    model, report = start_model(recipe)
    assert report is not None
    if report.kept_random:
        raise ConfigError(
            f"{weights} does not fill the whole network; it lacks {', '.join(report.kept_random[:4])}: "
            "an encoder with random parts would be of no use"
        )
    network = _network(
        EmbeddingModel.from_lodisc(model, recipe.feature),
        recipe,
        source=f"{Path(weights).name} ({report.layout} layout)",
        licence="not stated",
        trained_on="not stated: published weights, not trained further",
        domain="not stated",
        pictures=None,
        recorded=_architecture(recipe),
    )
    return network, report


def _network(
    model: EmbeddingModel,
    recipe: Recipe,
    *,
    source: str,
    licence: str,
    trained_on: str,
    domain: str,
    pictures: Path | None,
    recorded: dict[str, Any],
    labels: str = "",
) -> Network:
    backbone = model.backbone

    def make_graph(outputs: Sequence[str], fused_attention: bool, pruning: Pruning | None) -> ServingGraph:
        return ServingGraph(model, outputs, fused_attention=fused_attention, pruning=pruning).eval()

    return Network(
        reference=model,
        make_graph=make_graph,
        outputs=OUTPUTS,
        preprocessing=serving_preprocessing(recipe.image_size),
        embedding_dim=model.embedding_dim,
        token_dim=backbone.width,
        patch_grid=(backbone.grid_size, backbone.grid_size),
        depth=len(backbone.blocks),
        source=source,
        feature=model.description,
        licence=licence,
        trained_on=trained_on,
        domain=domain,
        recipe=recorded,
        labels=labels,
        pictures=pictures,
    )


def _architecture(recipe: Recipe) -> dict[str, Any]:
    """A recipe that nothing was trained by, so it says nothing of what training read."""
    silent = ("supervision", "rank_weights", "pictures_per_label")
    return {name: value for name, value in recipe_values(recipe).items() if name not in silent}


def _trained_on(state: RunState) -> str:
    data = _data_name(Path(state.data))
    pictures = f"pictures of {data} and their labels"
    if state.recipe.supervision == "none":
        pictures = f"unlabelled pictures of {data}"
    return f"{state.num_pictures} {pictures}, {state.epochs:.0f} epochs, {state.seconds / 60:.0f} minutes"


def _data_name(data: Path) -> str:
    """What to call a data folder: its name, with its parent's where the name alone says nothing."""
    return f"{data.parent.name}/{data.name}" if data.name in ("train", "images", "data") else data.name
