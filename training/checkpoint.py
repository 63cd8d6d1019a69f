"""A checkpoint: one safetensors file that holds a run whole: weights, optimiser, step, recipe.

One file, written aside and renamed, so that weights and optimiser can never disagree and an interrupted write leaves
the previous checkpoint. No pickle.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import AdamW

from encoder.errors import ConfigError, TrainingError
from training.feature import feature_weights
from training.model import LoDisc
from training.recipe import Recipe, recipe_from_values, recipe_values
from training.stem_statistics import scale_residuals
from training.vit import ENCODERS, build_vit
from training.whitening import Whitening

CHECKPOINT_NAME = "checkpoint.safetensors"
BEST_NAME = "best.safetensors"
FORMAT, FORMAT_VERSION = "lodisc-checkpoint", 1


@dataclass(frozen=True)
class RunState:
    """What a checkpoint says of its run beside the weights.

    Attributes:
        recipe: the resolved recipe.
        step: steps done, each one optimiser update.
        data: the folder of the training pictures, as an absolute path.
        num_pictures: how many of them could be decoded.
        seconds: time spent training up to here, over all sessions.
        best_map: the best mAP so far on the held-out pictures; -1 before there is one.
        labels: digest of the labels that the loss reads; empty if it reads none.
        pictures: digest of the names of the training pictures (`PictureStore.digest`); empty in an older checkpoint.
        held_out: digest of the held-out pictures and their labels; empty if there are none, and in an older checkpoint.
    """

    recipe: Recipe
    step: int
    data: str
    num_pictures: int
    seconds: float
    best_map: float = -1.0
    labels: str = ""
    pictures: str = ""
    held_out: str = ""

    @property
    def num_steps(self) -> int:
        """Steps that the run has when it is done."""
        return self.recipe.epochs * self._steps_per_epoch

    @property
    def epochs(self) -> float:
        """Epochs done."""
        return self.step / max(1, self._steps_per_epoch)

    @property
    def _steps_per_epoch(self) -> int:
        return self.num_pictures // self.recipe.pictures_per_step


def build_model(recipe: Recipe) -> LoDisc:
    """The model of a recipe with random weights, which are a function of the recipe's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        backbone = build_vit(
            recipe.encoder,
            image_size=recipe.image_size,
            patch_size=recipe.patch_size,
            stem=recipe.stem,
            num_heads=recipe.num_heads,
            positions=recipe.positions,
            num_registers=recipe.num_registers,
        )
        if recipe.residual_scale != 1:
            scale_residuals(backbone, recipe.residual_scale)
        return LoDisc(
            backbone,
            local=recipe.local,
            keep_ratio=recipe.keep_ratio,
            temperature=recipe.temperature,
            hidden_dim=recipe.hidden_dim,
            projection_dim=recipe.projection_dim,
            projector=recipe.projector,
            predictor_dropout=recipe.predictor_dropout,
            momentum_updates=recipe.momentum_updates,
            micro_batch=recipe.micro_batch,
            repeats=recipe.repeats,
            whitening=_whitening(recipe),
            rank_weights=recipe.rank_weights,
        )


def _whitening(recipe: Recipe) -> Whitening | None:
    if recipe.whitening == 0:
        return None
    has_head = recipe.projector != "none"
    num_dims = {"projector": recipe.projection_dim, "predictor": recipe.projection_dim} if has_head else {}
    width = ENCODERS[recipe.encoder][0]
    dim = sum(num_dims.get(name, width) for name in feature_weights(recipe.feature))
    return Whitening(recipe.feature, dim, recipe.whitening)


def save_checkpoint(
    run: Path,
    model: LoDisc,
    optimizer: AdamW | None,
    state: RunState,
    *,
    keep_last: int = 1,
    name: str = CHECKPOINT_NAME,
) -> Path:
    """Write a checkpoint of `run` by rename and return its path.

    Args:
        run: folder of the run.
        model: the model, not wrapped.
        optimizer: None for a checkpoint that is only to be measured and exported, not resumed.
        state: what it says of the run.
        keep_last: the newest that stay: this one, and those before it under names with their step.
        name: of the file.

    Raises:
        TrainingError: it could not be written (disk full, no permission); the previous checkpoint is untouched.
    """
    tensors = {f"model.{key}": tensor.contiguous() for key, tensor in model.state_dict().items()}
    for parameter_name, parameter in trained_parameters(model):
        for key, value in (optimizer.state.get(parameter, {}) if optimizer is not None else {}).items():
            tensors[f"optimizer.{key}.{parameter_name}"] = value.contiguous()
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "recipe": json.dumps(recipe_values(state.recipe)),
        "step": str(state.step),
        "data": state.data,
        "num_pictures": str(state.num_pictures),
        "seconds": f"{state.seconds:.1f}",
        "best_map": repr(state.best_map),
        "labels": state.labels,
        "pictures": state.pictures,
        "held_out": state.held_out,
    }
    path = run / name
    partial = path.with_suffix(".partial")
    try:
        # safetensors makes files that only their owner can read; this one is as readable as any other the person makes.
        partial.touch()
        mode = partial.stat().st_mode
        save_file(tensors, partial, metadata)
        partial.chmod(mode)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        if name == CHECKPOINT_NAME:
            _set_aside(path, keep_last)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise TrainingError(
            f"checkpoint {path} could not be written: {error}; free some space and run the same command to resume"
        ) from error
    return path


def _set_aside(path: Path, keep_last: int) -> None:
    """Give the newest checkpoint a second name with its step, and remove the oldest beyond `keep_last`.

    A hard link: the file is never without its first name, so a kill between this and the rename loses nothing.
    """
    if keep_last > 1 and path.is_file():
        aside = path.with_name(f"checkpoint-{read_state(path).step:08d}.safetensors")
        aside.unlink(missing_ok=True)
        try:
            aside.hardlink_to(path)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, aside)
    older = sorted(path.parent.glob("checkpoint-*.safetensors"))
    for extra in older[: max(0, len(older) - (keep_last - 1))]:
        extra.unlink()


def trained_parameters(model: LoDisc) -> list[tuple[str, torch.nn.Parameter]]:
    """The parameters the optimiser moves, by name, in a fixed order."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def checkpoint_path(run: Path) -> Path:
    """The checkpoint of a run, given its folder or the file itself.

    Raises:
        ConfigError: there is none.
    """
    path = run / CHECKPOINT_NAME if run.is_dir() else run
    if not path.is_file():
        fault = f"holds no {CHECKPOINT_NAME}" if run.is_dir() else "does not exist"
        raise ConfigError(f"{run} {fault}; give the --out folder of a `lodisc train` run")
    return path


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    """The safetensors file, whose faults are told as ours."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise ConfigError(
            f"{path} is not a readable checkpoint ({error}); it may be cut short: copy it again, or continue from "
            "an older one of the run (checkpoint-STEP.safetensors) by giving it this name"
        ) from error


def is_checkpoint(path: Path) -> bool:
    """Whether a safetensors file says that it is one of our checkpoints; False if it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except SafetensorError:
        return False


def read_state(run: Path) -> RunState:
    """Read what a checkpoint says of its run, without its tensors.

    Raises:
        ConfigError: no checkpoint, not one of ours, or from a newer version.
    """
    path = checkpoint_path(run)
    with _opened(path) as file:
        metadata = file.metadata() or {}
    if metadata.get("format") != FORMAT:
        raise ConfigError(f"{path} is a safetensors file, but not a checkpoint of `lodisc train`")
    if int(metadata["format_version"]) > FORMAT_VERSION:
        raise ConfigError(
            f"{path} has checkpoint format {metadata['format_version']}, this program reads up to "
            f"{FORMAT_VERSION}; update lodisc"
        )
    return RunState(
        recipe=recipe_from_values(json.loads(metadata["recipe"]), str(path)),
        step=int(metadata["step"]),
        data=metadata["data"],
        num_pictures=int(metadata["num_pictures"]),
        seconds=float(metadata["seconds"]),
        best_map=float(metadata.get("best_map", "-1")),
        labels=metadata.get("labels", ""),
        pictures=metadata.get("pictures", ""),
        held_out=metadata.get("held_out", ""),
    )


def load_model(run: Path) -> tuple[LoDisc, RunState]:
    """Build the model of a checkpoint's recipe and load its weights, on the CPU.

    Raises:
        ConfigError: no checkpoint, or one whose tensors are not those of its recipe.
    """
    state = read_state(run)
    model = build_model(state.recipe)
    try:
        model.load_state_dict(read_tensors(run, "model."))
    except RuntimeError as error:
        raise ConfigError(
            f"{checkpoint_path(run)} holds another network than its recipe says "
            f"({str(error).splitlines()[1].strip() if chr(10) in str(error) else error})"
        ) from error
    return model, state


def load_encoder(run: Path) -> tuple[LoDisc, RunState]:
    """`load_model` for whoever wants embeddings: what the recipe asks for after training has to be there too.

    Raises:
        ConfigError: as `load_model`; or the run was killed before it learnt its whitening.
    """
    model, state = load_model(run)
    if model.whitening is not None and not model.whitening.is_learnt:
        raise ConfigError(
            f"{checkpoint_path(run)} was saved at step {state.step} of a run that was killed, without a whitening; "
            "start the run again: it is learnt at the end, and when Ctrl-C stops the run"
        )
    return model, state


def lacks_whitening(run: Path, state: RunState) -> bool:
    """Whether a checkpoint's recipe asks for a whitening that was not learnt for its weights yet."""
    return state.recipe.whitening > 0 and not read_tensors(run, "model.whitening.is_learnt")[""]


def load_optimizer(run: Path, model: LoDisc, optimizer: AdamW) -> None:
    """Load the optimiser's state of a checkpoint for the model it was saved with."""
    tensors = read_tensors(run, "optimizer.")
    for name, parameter in trained_parameters(model):
        optimizer.state[parameter] = {
            key: tensors[f"{key}.{name}"].to(parameter.device) for key in ("step", "exp_avg", "exp_avg_sq")
        }


def read_tensors(run: Path, prefix: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint whose names begin with `prefix`, without it: "model." or "optimizer."."""
    with _opened(checkpoint_path(run)) as file:
        return {name.removeprefix(prefix): file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118 (safe_open is no dict)
