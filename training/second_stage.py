"""Begin a run where another of ours ended: a pooled pretraining, then a short stage on one domain.

Both encoders, the projector and the predictor are taken, so that the second stage goes on with the same contrastive
space. The optimiser, the step and the schedules are not: they begin anew, as the new recipe says. To go on with an
interrupted run is another thing, and needs no initial weights.
"""

from pathlib import Path

from encoder.errors import ConfigError
from training.checkpoint import checkpoint_path, is_checkpoint, read_state, read_tensors
from training.init_report import InitReport
from training.model import LoDisc
from training.positions import resize_positions
from training.recipe import Recipe
from training.vit import ENCODERS

# What the backbones of two recipes must have in common; their size in pixels may differ.
ARCHITECTURE = ("encoder", "patch_size", "stem", "positions", "num_registers")


def is_run(source: str) -> bool:
    """Whether initial weights are a folder, which can only be a run's, or a checkpoint of ours."""
    path = Path(source)
    return path.is_dir() or (path.is_file() and path.suffix == ".safetensors" and is_checkpoint(path))


def continue_run(model: LoDisc, recipe: Recipe, source: str) -> InitReport:
    """Fill a model from a run of ours as far as it fits.

    The backbones must agree. A projector of other shapes begins anew, and with it the predictor, which only makes sense
    on top of it.

    Args:
        model: of `recipe`, fresh; filled in place.
        recipe: of the new run.
        source: folder of the other run, or one of its checkpoints.

    Raises:
        ConfigError: no checkpoint, one that cannot be read, or another backbone; with the flags that mend it.
    """
    theirs = read_state(Path(source)).recipe
    _refuse_other_backbone(theirs, recipe, source)
    tensors = read_tensors(Path(source), "model.")
    own = model.state_dict()
    grids = theirs.image_size // theirs.patch_size, model.base.backbone.grid_size
    for name in ("base.backbone.pos_embed", "momentum.backbone.pos_embed"):
        if name in tensors:
            tensors[name] = resize_positions(tensors[name], grids[1])

    def fits(head: str) -> bool:
        names = [name for name in own.keys() | tensors.keys() if name.startswith(head)]
        return all(name in own and name in tensors and own[name].shape == tensors[name].shape for name in names)

    taken, continued, anew = ["base.backbone.", "momentum.backbone."], ["both backbones"], []
    has_projector = fits("base.projector.")
    if has_projector:
        taken += ["base.projector.", "momentum.projector."]
        continued.append("projector")
    else:
        anew.append("projector, of other shapes there")
    if has_projector and fits("predictor."):
        taken.append("predictor.")
        continued.append("predictor")
    else:
        anew.append("predictor, of other shapes there" if has_projector else "predictor, as its projector is new")
    matched = {name: tensor for name, tensor in tensors.items() if name.startswith(tuple(taken))}
    model.load_state_dict(matched, strict=False)
    return InitReport(
        source=str(checkpoint_path(Path(source))),
        layout="lodisc",
        loaded=len(matched),
        kept_random=[],
        unused=[],
        resampled=grids if grids[0] != grids[1] and "base.backbone.pos_embed" in tensors else None,
        continued=continued,
        anew=anew,
    )


def _refuse_other_backbone(theirs: Recipe, ours: Recipe, source: str) -> None:
    found = {name: getattr(theirs, name) for name in ARCHITECTURE if getattr(theirs, name) != getattr(ours, name)}
    heads = [recipe.num_heads or ENCODERS[recipe.encoder][2] for recipe in (theirs, ours)]
    if heads[0] != heads[1] and "encoder" not in found:
        found["num_heads"] = heads[0]
    if found:
        flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in found.items())
        raise ConfigError(f"{source} does not fit the recipe: its backbone was trained with {flags}")
