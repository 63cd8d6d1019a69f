"""`lodisc train`: a recipe and a folder of pictures to a run."""

import argparse
import dataclasses
import importlib
import typing
from pathlib import Path
from typing import Any

from encoder.errors import ConfigError, MissingExtraError

HELP = """\
Train an encoder on a folder of pictures with LoDisc. No label is read: sub-folders mean nothing here.

examples:
  lodisc train --data photos/ --out run/                          the paper's recipe (ViT-B/16, wants a GPU)
  lodisc train quick --data photos/ --out run/                    a small ViT for a CPU, minutes
  lodisc train my-recipe.toml --data photos/ --out run/ --epochs 50
The same command again resumes an interrupted run from its last checkpoint.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments; every field of the recipe is a flag."""
    parser.add_argument(
        "recipe", nargs="?", default="paper", help="a .toml file or a recipe of the project (default: paper)"
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of pictures, any depth")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--device", default="auto", help="auto (the GPU if there is one), cpu, cuda, cuda:1 ...")
    parser.add_argument(
        "--max-steps",
        type=int,
        metavar="N",
        help="stop after this many steps in all; the schedule stays the recipe's",
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
            nargs=len(parts) or None,
            metavar=field.name.upper() if not parts else tuple("X" for _ in parts),
            help=f"{field.metadata['help']} (paper: {_shown(field.default)})",
        )


def run(args: argparse.Namespace) -> int:
    """Train, and say what to do next."""
    if args.max_steps is not None and args.max_steps < 1:
        raise ConfigError(f"--max-steps is {args.max_steps}, expected at least 1")
    overrides = {
        name.removeprefix("recipe_"): value
        for name, value in vars(args).items()
        if name.startswith("recipe_") and value is not None
    }
    device = _training("device").choose_device(args.device)
    recipe = _training("recipe").load_recipe(args.recipe, overrides)
    recipe = _training("device").resolve_precision(recipe, device)
    result = _training("trainer").train(
        recipe, args.data, args.out, device=device, max_steps=args.max_steps, quiet=args.quiet
    )
    if result.interrupted:
        print(f"stopped at step {result.step} of {result.num_steps}, saved; the same command resumes")
        return 130
    print(f"trained {result.step} of {result.num_steps} steps; next: lodisc export {args.out} --out BUNDLE")
    return 0


def _training(module: str) -> Any:
    """A module of the training room, or the name of the extra that it needs."""
    try:
        return importlib.import_module(f"training.{module}")
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"lodisc train needs {error.name}: pip install '.[train]'") from error


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
