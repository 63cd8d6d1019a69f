"""`lodisc train`: a recipe and a folder of pictures to a run."""

import argparse
import dataclasses
import importlib
import typing
from pathlib import Path
from typing import Any

from encoder.errors import ConfigError, MissingExtraError
from encoder.shell_words import path_word

HELP = """\
Train an encoder on a folder of pictures with LoDisc. No label is read, unless --holdout asks for measuring or
--supervision labels for training with them.

examples:
  lodisc train --data photos/ --out run/                          the paper's recipe (ViT-B/16, wants a GPU)
  lodisc train quick --data photos/ --out run/                    a small ViT for a CPU, minutes
  lodisc train my-recipe.toml --data photos/ --out run/ --epochs 50
  lodisc train labels --data photos/ --out run/                   with labels: each sub-folder is one
  lodisc train cub200 --data CUB_200_2011/ --out run/             a published set as it is unpacked
  lodisc train --init dinov2.pth --patch-size 14 --data photos/ --out run/     from published weights
  lodisc train quick --data photos/ --out run/ --dry-run          what it would take, without training
  torchrun --nproc-per-node 4 -m lodisc train --data photos/ --out run/        four GPUs
The same command again resumes an interrupted run from its last checkpoint. Recipes: a list is in training/recipes/.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; every field of the recipe is a flag."""
    parser.add_argument(
        "recipe", nargs="?", default="paper", help="a .toml file or a recipe of the project (default: paper)"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of pictures, any depth")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE.csv",
        help="labels to read instead of the sub-folders: columns path, then one a rank, finest first",
    )
    parser.add_argument("--device", default="auto", help="auto (the GPU if there is one), cpu, cuda, cuda:1 ...")
    parser.add_argument(
        "--max-steps",
        type=int,
        metavar="N",
        help="stop after this many steps in all; the schedule stays the recipe's",
    )
    parser.add_argument(
        "--keep-last", type=int, default=2, metavar="K", help="newest checkpoints that stay (default: 2)"
    )
    parser.add_argument(
        "--max-unreadable",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="largest share of the pictures that may fail to decode (default: 0.1)",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="torch.compile the encoders; on a CPU it saves a few percent after a minute or two of compiling",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print parameters, steps, memory and time, and write nothing"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    recipe_module = _training("recipe")
    group = parser.add_argument_group("recipe fields (override the recipe)")
    types = typing.get_type_hints(recipe_module.Recipe)
    for field in dataclasses.fields(recipe_module.Recipe):
        parts = typing.get_args(types[field.name])
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            dest=f"recipe_{field.name}",
            type=parts[0] if parts else types[field.name],
            nargs="+" if Ellipsis in parts else len(parts) or None,
            metavar=field.name.upper() if not parts else "X" if Ellipsis in parts else tuple("X" for _ in parts),
            help=f"{field.metadata['help']} (paper: {_shown(field.default)})",
        )


def run(args: argparse.Namespace) -> int:
    """Train, and say what to do next."""
    if args.max_steps is not None and args.max_steps < 1:
        raise ConfigError(f"--max-steps is {args.max_steps}, expected at least 1")
    if args.keep_last < 1:
        raise ConfigError(f"--keep-last is {args.keep_last}, expected at least 1")
    if not 0 <= args.max_unreadable <= 1:
        raise ConfigError(f"--max-unreadable is {args.max_unreadable}, expected in [0, 1]")
    overrides = {
        name.removeprefix("recipe_"): value
        for name, value in vars(args).items()
        if name.startswith("recipe_") and value is not None
    }
    world = _training("distributed").world_from_environment()
    device = _training("device").choose_device(args.device, world.local_rank)
    recipe = _training("recipe").load_recipe(args.recipe, overrides)
    recipe = _training("device").resolve_precision(recipe, device)
    if args.dry_run:
        if world.is_first:
            estimate = _training("estimate").estimate_run(
                recipe, args.data, device, world.size, label_table=args.labels
            )
            print("\n".join(estimate.lines()))
        return 0
    result = _training("trainer").train(
        recipe,
        args.data,
        args.out,
        device=device,
        label_table=args.labels,
        world=world,
        max_steps=args.max_steps,
        keep_last=args.keep_last,
        max_unreadable=args.max_unreadable,
        compiled=args.compile,
        quiet=args.quiet,
    )
    if world.is_first:
        _say_what_next(result, args.out)
    return 130 if result.interrupted else 0


def _say_what_next(result: Any, out: Path) -> None:
    if result.interrupted:
        print(f"stopped at step {result.step} of {result.num_steps}, saved; the same command resumes")
        return
    if result.best_map >= 0:
        print(f"best on the held-out pictures: mAP {result.best_map:.3f}, {out / 'best.safetensors'}")
    source = out / "best.safetensors" if result.best_map >= 0 else out
    print(f"trained {result.step} of {result.num_steps} steps; next: lodisc export {path_word(source)} --out BUNDLE")
    print(f"curves, masks and settings: {out / 'report.html'}")


def _training(module: str) -> Any:
    """A module of the training room, or the name of the extra that it needs."""
    try:
        return importlib.import_module(f"training.{module}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"lodisc train needs {error.name}: pip install -e '.[train]'") from error


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
