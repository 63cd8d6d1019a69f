"""`lodisc default-encoder`: a folder of sets to packs, a run, figures and a bundle; what is done is not done again."""

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from encoder.bundle import Bundle
from encoder.bundle_parts import split_bundle
from encoder.errors import ConfigError, MissingExtraError
from encoder.picture_files import would_be_listed
from encoder.shell_words import path_word

STAGES = ("pack", "train", "evaluate", "export")
# Folders in --out.
PACKS, PICTURES, RUN, BUNDLE, PARTS = FOLDERS = ("packs", "pictures", "run", "bundle", "parts")
PACK_FLAGS = ("sets", "train_gallery", "short_side", "quality", "packs", "pack_mb")

HELP = """\
Make an encoder from a folder of pictures, in four stages that leave their results in the folder --out:

  pack      packs/        the pictures, shrunk, as WebP in tar files; no labels, unless the recipe reads them
  train     run/          what `lodisc train` leaves
  evaluate  figures.json  rank-1, rank-5 and mAP of each set with 95 % intervals, beside a colour histogram
  export    bundle/       fp32 and int8, compared with torch, verified; its README.md is the model card

--data holds one folder a set, each with train/ and perhaps test/ (sub-folders are labels), or it is one folder of
pictures. The same command again goes on where it was interrupted: what is finished is left as it is. Stages are done
one by one where they are named: train and evaluate need torch, numpy, Pillow and safetensors alone, and no network.

examples:
  lodisc default-encoder --data sets/ --out encoder/ --minutes 20
  lodisc default-encoder --data sets/ --out encoder/ --recipe quick --parts
  lodisc default-encoder --data sets/ --out encoder/ --sets cars grocery --train-gallery grocery --packs 2

training elsewhere:
  lodisc default-encoder pack --data sets/ --out encoder/                  here; then copy encoder/packs/ there
  python -m lodisc default-encoder train evaluate --out encoder/           there; then copy encoder/run/ and
  lodisc default-encoder export --out encoder/                             figures.json back; here again
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(STAGES)} (default: all)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of all results")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="the pictures (default: the packs that --out has already)"
    )
    parser.add_argument("--recipe", default="default", help="a .toml file or a recipe's name (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto (the GPU if there is one), cpu, cuda ...")
    parser.add_argument("--quiet", action="store_true", help="show no progress")

    packing = parser.add_argument_group("pack")
    packing.add_argument("--sets", nargs="+", default=[], metavar="SET", help="sets to take (default: all)")
    packing.add_argument(
        "--train-gallery",
        nargs="+",
        default=[],
        metavar="SET",
        help="sets whose test pictures are searched in their training pictures (several photographs of one thing in "
        "test would find each other); the others are measured leave one out",
    )
    packing.add_argument("--short-side", type=int, metavar="PX", help="default: what the recipe's views are cut from")
    packing.add_argument("--quality", type=int, metavar="Q", help="of WebP, 1 to 100 (default: 90)")
    packing.add_argument("--packs", type=int, metavar="N", help="at most N packs, at the quality that this allows")
    packing.add_argument("--pack-mb", type=float, metavar="MB", help="of a pack (default: 55)")

    training = parser.add_argument_group("train")
    training.add_argument(
        "--init", metavar="RUN", help="go on from a run: what another --out has as run/, or a run of lodisc train"
    )
    training.add_argument("--epochs", type=int, metavar="N", help="in place of the recipe's")
    training.add_argument(
        "--minutes", type=float, metavar="M", help="choose the epochs so that training takes so long, by measured steps"
    )
    training.add_argument("--batch-size", type=int, metavar="N", help="in place of the recipe's")
    training.add_argument("--seed", type=int, metavar="N", help="in place of the recipe's")

    export = parser.add_argument_group("export")
    export.add_argument("--name", default="default", help="of the bundle (default: %(default)s)")
    export.add_argument("--domain", default="", help="what pictures it knows (default: the names of the sets)")
    export.add_argument(
        "--licence",
        default="not stated: it depends on the terms of the pictures",
        help="of the weights, which the terms of the pictures bind",
    )
    export.add_argument("--note", default="", help="a sentence for the card, such as how the recipe was chosen")
    export.add_argument("--max-mb", type=float, default=45, metavar="MB", help="of the bundle (default: %(default)s)")
    export.add_argument("--no-int8", action="store_true", help="fp32 alone")
    export.add_argument(
        "--floor", type=float, default=0.99, help="least mAP of int8, as a share of fp32's (%(default)s)"
    )
    export.add_argument("--parts", action="store_true", help="also write parts/, for lodisc bundle join")
    export.add_argument("--part-mb", type=float, default=15, metavar="MB", help="of a part (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Do the stages in order; 130 if training was interrupted, which ends them."""
    _check(args)
    try:
        return _run(args)
    except OSError as error:
        raise ConfigError(
            f"{error.filename or args.out} cannot be written or read: {error.strerror or error}; see who may, and "
            "whether the disk has room, or choose another --out"
        ) from error


def _run(args: argparse.Namespace) -> int:
    stages = [stage for stage in STAGES if stage in (args.stages or STAGES)]
    if args.data is not None:
        _pack(args)
    if "train" in stages and not _train(args):
        return 130
    if "evaluate" in stages:
        _evaluate(args)
    if "export" in stages:
        _export(args)
    return 0


def _check(args: argparse.Namespace) -> None:
    wrong = [stage for stage in args.stages if stage not in STAGES]
    if wrong:
        raise ConfigError(f"{wrong[0]} is no stage; the stages are {', '.join(STAGES)}")
    packs = "pack" in (args.stages or STAGES)
    if "pack" in args.stages and args.data is None:
        raise ConfigError("the stage pack needs pictures; name them with --data DIR")
    if args.data is not None:
        if not packs:
            raise ConfigError("--data is of the stage pack, which is not asked for; add pack, or leave out --data")
        _require_apart(args.data, args.out)
    if args.epochs is not None and args.minutes is not None:
        raise ConfigError("--epochs and --minutes exclude each other: the minutes decide the epochs")
    for name in ("short_side", "quality", "packs", "pack_mb", "epochs", "minutes", "max_mb", "part_mb"):
        value = getattr(args, name)
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"--{name.replace('_', '-')} is {value}, expected above 0")
    if args.quality is not None and args.quality > 100:
        raise ConfigError(f"--quality is {args.quality}, expected 1 to 100")
    if not 0 < args.floor <= 1:
        raise ConfigError(f"--floor is {args.floor}, expected above 0, at most 1")
    flags = [name for name in PACK_FLAGS if getattr(args, name)]
    if flags and args.data is None:
        raise ConfigError(
            f"--{flags[0].replace('_', '-')} is of the stage pack, which is not done here; name pictures with --data"
        )


def _require_apart(data: Path, out: Path) -> None:
    """See that no picture is where something is written, and nothing is written among the pictures."""
    if would_be_listed(out, data):
        raise ConfigError(
            f"--out {out} lies in --data {data}, and what is written there would be taken for pictures; choose an "
            "--out elsewhere"
        )
    for name in FOLDERS:
        if data.resolve().is_relative_to((out / name).resolve()):
            raise ConfigError(f"--data {data} is where --out {out} keeps its {name}; choose another --out")


def _pack(args: argparse.Namespace) -> None:
    packing, packs = _room("training.packing"), args.out / PACKS
    recipe = _recipe(args)
    settings = _room("training.pack_sources").PackSettings(
        short_side=args.short_side or _room("training.pictures").stored_side(recipe.image_size),
        labelled=recipe.reads_labels,
        gallery_is_train=tuple(args.train_gallery),
        pack_bytes=int((args.pack_mb or 55) * 1e6),
        max_packs=args.packs,
        quality=args.quality,
    )
    sets = _room("training.picture_sets").find_sets(args.data, args.sets)
    is_trained_on = (args.out / RUN / "checkpoint.safetensors").is_file()
    index = packing.pack_sets(sets, settings, packs, may_replace=not is_trained_on, tell=_tell)
    print(
        f"{packs}: {len(index.packs)} packs, {index.num_bytes / 1e6:.1f} MB; {index.num_train} pictures to train on, "
        f"{sum(each.num_test for each in index.sets)} to measure on; short side {index.short_side}, "
        f"WebP quality {index.quality}, labels of training pictures {'kept' if index.labelled else 'left out'}"
    )


def _train(args: argparse.Namespace) -> bool:
    """Whether it came to the end."""
    device = _room("training.device").choose_device(args.device)
    run_dir = args.out / RUN
    result = _room("training.packed_training").train_packs(
        _recipe(args),
        args.out / PACKS,
        args.out / PICTURES,
        run_dir,
        device=device,
        minutes=args.minutes,
        quiet=args.quiet,
        tell=_tell,
    )
    if result.interrupted:
        print(f"stopped at step {result.step} of {result.num_steps}, saved; the same command goes on")
        return False
    print(f"{run_dir}: trained {result.step} of {result.num_steps} steps; curves: {run_dir / 'report.html'}")
    return True


def _evaluate(args: argparse.Namespace) -> None:
    figures, out = _room("training.figures"), args.out / "figures.json"
    device = _room("training.device").choose_device(args.device)
    document = figures.measure_run(
        args.out / RUN, args.out / PACKS, args.out / PICTURES, out, device=device, tell=_tell
    )
    for line in figures.figure_lines(document):
        print(line)
    if not document["sets"]:
        print("no set has test pictures, so nothing was measured")


def _export(args: argparse.Namespace) -> None:
    export, bundle_dir = _room("export.default_encoder"), args.out / BUNDLE
    settings = export.BundleSettings(
        name=args.name,
        domain=args.domain,
        licence=args.licence,
        note=args.note,
        int8=not args.no_int8,
        floor=args.floor,
        max_bytes=int(args.max_mb * 1e6),
    )
    bundle = export.write_default_bundle(
        args.out / RUN,
        args.out / PACKS,
        args.out / PICTURES,
        args.out / "figures.json",
        bundle_dir,
        settings,
        _tell,
    )
    num_bytes = sum(path.stat().st_size for path in bundle_dir.iterdir())
    print(f"{bundle_dir}: bundle {bundle.manifest.id}, {num_bytes / 1e6:.1f} MB, model card {bundle_dir / 'README.md'}")
    for name, parity in export.verify_bundle(bundle_dir).items():
        method = bundle.manifest.variants[name].method
        print(
            f"  {name}: {method}; verified on {parity.num_pictures} golden pictures (cosine >= {parity.min_cosine:.6f})"
        )
    if args.parts:
        _split(bundle, args.out / PARTS, int(args.part_mb * 1e6))


def _split(bundle: Bundle, out: Path, part_bytes: int) -> None:
    parts = split_bundle(bundle, out, part_bytes, overwrite=True)
    print(f"{out}: {len(parts.parts)} parts; lodisc bundle join {path_word(out)} --out BUNDLE puts them together")


def _recipe(args: argparse.Namespace) -> Any:
    overrides = {
        name: getattr(args, name)
        for name in ("init", "epochs", "batch_size", "seed")
        if getattr(args, name) is not None
    }
    recipe = _room("training.recipe").load_recipe(args.recipe, overrides)
    if recipe.layout != "folder":
        raise ConfigError(
            f"recipe {args.recipe} has layout {recipe.layout!r}, but packs are folders whose sub-folders are labels; "
            "take layout out of the recipe, and sort the pictures into SET/train/LABEL/ and SET/test/LABEL/"
        )
    return recipe


def _tell(line: str) -> None:
    """Progress, where it does not mix with the results."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _room(module: str) -> Any:
    """A module of the offline chain, or the name of the extra that it needs."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"lodisc default-encoder needs {error.name}: pip install -e '.[train]'") from error
