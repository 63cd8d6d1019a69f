"""`lodisc export`: a run, published weights or a timm model to a bundle."""

import argparse
import importlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

from encoder.errors import ConfigError, MissingExtraError
from encoder.shell_words import path_word

HELP = """\
Turn an encoder into a bundle: ONNX graphs, weights and the manifest that a server needs.

It is written only if it agrees with torch (cosine at least 0.99999) on pictures of every format and on some of yours,
and if each faster variant finds as well as the exact one on your pictures (mAP at least 0.99 of it, --floor).

examples:
  lodisc export run/ --out bundle/
  lodisc export run/ --out bundle/ --pictures photos/ --int8 --prune auto
  lodisc export run/ --out bundle/ --calibrate photos/ --int8 --domain "garden butterflies" --licence CC-BY-4.0
  lodisc export --timm vit_small_patch14_dinov2 --weights dinov2.safetensors --out bundle/
  lodisc export --init dino_deitsmall16_pretrain.pth --encoder small --patch-size 16 --out bundle/
  lodisc export run/ --out bundle/ --fp16 --tensorrt fp16            (on the GPU that it is to run on)
"""
# Fields of a recipe that say which architecture published weights are of.
ARCHITECTURE = {
    "encoder": str, "image_size": int, "patch_size": int, "positions": str, "num_registers": int, "num_heads": int,
    "feature": str,
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    source = parser.add_argument_group("what to export (one of)")
    source.add_argument("run", type=Path, nargs="?", metavar="RUN", help="folder of `lodisc train`, or its checkpoint")
    source.add_argument(
        "--timm",
        metavar="NAME|DIR|FILE",
        help="a ViT-like model of timm by name; or a folder, or a file in it, with timm's config.json and the weights",
    )
    source.add_argument(
        "--weights", type=Path, metavar="FILE", help="weights of --timm NAME, where there is no network"
    )
    source.add_argument(
        "--init", metavar="FILE", help="published weights as `lodisc train --init` reads them, and their architecture:"
    )
    for name, kind in ARCHITECTURE.items():
        source.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=kind.__name__.upper())

    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is already there")

    variants = parser.add_argument_group("faster variants")
    variants.add_argument("--int8", action="store_true", help="eight bits, for CPUs")
    variants.add_argument(
        "--calibrate",
        type=Path,
        metavar="DIR",
        help="pictures that int8's ranges are fitted to (else: found as it runs)",
    )
    variants.add_argument(
        "--prune",
        default="",
        metavar="auto|LAYER:RATIO",
        help="leave the patches out that the first layers attend to least; auto tries what your pictures allow",
    )
    variants.add_argument("--fp16", action="store_true", help="float16, for GPUs")
    variants.add_argument(
        "--tensorrt",
        nargs="?",
        const="fp16",
        default="",
        choices=("fp16", "bf16", "fp32"),
        help="a TensorRT engine for the GPU of this machine (default: fp16)",
    )
    variants.add_argument("--half-weights", action="store_true", help="store the weights as float16: half the file")

    proof = parser.add_argument_group("the comparison")
    proof.add_argument(
        "--pictures", type=Path, metavar="DIR", help="yours, one sub-folder a label (default: the training pictures)"
    )
    proof.add_argument(
        "--floor", type=float, default=0.99, help="least mAP, as a share of fp32's (default: %(default)s)"
    )
    proof.add_argument(
        "--num-pictures", type=int, default=600, metavar="N", help="how many at the most (default: %(default)s)"
    )

    words = parser.add_argument_group("what the manifest says")
    words.add_argument("--name", default="", help="of the bundle (default: the name of its folder)")
    words.add_argument("--domain", default="", help="what pictures it knows, as a short noun phrase")
    words.add_argument("--licence", default="", help="of the weights")
    words.add_argument(
        "--figures", type=Path, metavar="JSON", help="measurements to store: the output of lodisc evaluate --json"
    )
    parser.add_argument(
        "--untrained",
        action="store_true",
        help="export random weights in the place of the run's, as a control (what it began from: --init FILE)",
    )


def run(args: argparse.Namespace) -> int:
    """Export, compare, write, and say what to do next."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    if args.calibrate and not args.int8:
        raise ConfigError("--calibrate fits the ranges of int8; say --int8 too")
    if not 0 < args.floor <= 1:
        raise ConfigError(f"--floor is {args.floor}, expected above 0, at most 1")
    if args.num_pictures < 2:
        raise ConfigError(f"--num-pictures is {args.num_pictures}, expected at least 2")
    network = _network(args)
    bundling = _room("export.bundling", "train")
    options = bundling.ExportOptions(
        pictures=args.pictures,
        calibrate=args.calibrate,
        int8=args.int8,
        fp16=args.fp16,
        prune=args.prune,
        tensorrt=args.tensorrt,
        half_weights=args.half_weights,
        floor=args.floor,
        num_pictures=args.num_pictures,
        name=args.name or args.out.absolute().name,
        domain=args.domain,
        licence=args.licence,
        figures=_read_figures(args.figures) if args.figures else {},
        overwrite=args.overwrite,
    )
    _say(bundling.export_network(network, args.out, options, _tell), args.out)
    return 0


def _network(args: argparse.Namespace) -> Any:
    """The network that the arguments name."""
    named = [name for name in ("run", "timm", "init") if getattr(args, name)]
    if len(named) != 1:
        raise ConfigError("say what to export: a RUN, or --timm NAME, or --init FILE, and one of them alone")
    architecture = {name: getattr(args, name) for name in ARCHITECTURE if getattr(args, name) is not None}
    if architecture and not args.init:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in architecture)
        raise ConfigError(f"{flags} describe the architecture of --init FILE; a run and a timm model know theirs")
    if args.weights and not args.timm:
        raise ConfigError("--weights is the file of --timm NAME; published weights of other layouts go by --init FILE")
    if args.untrained and not args.run:
        raise ConfigError("--untrained is the control of a training run; name the RUN")
    if args.timm:
        return _room("export.timm_network", "timm").timm_network(args.timm, args.weights)
    ours = _room("export.our_network", "train")
    if args.run:
        return ours.run_network(args.run, untrained=args.untrained)
    network, report = ours.published_network(args.init, architecture)
    for line in report.lines():
        _tell(line)
    return network


def _room(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"lodisc export needs {error.name}: pip install -e '.[train,{extra}]'") from error
    except RuntimeError as error:  # torchvision of another build than torch, which timm brings
        reason = str(error).splitlines()[0]
        raise MissingExtraError(
            f"timm cannot be imported ({reason}): its torchvision is of another build than torch; install both from "
            "one index, for CPU or for the same CUDA"
        ) from error


def _tell(line: str) -> None:
    """Progress, where it does not mix with what is printed at the end."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _say(report: Any, out: Path) -> None:
    manifest = report.manifest
    print(f"bundle {out}: id {manifest.id}, {manifest.embedding_dim} dimensions, from {manifest.source}")
    for trial in report.pruning_trials:
        pruning = trial.pruning
        print(
            f"  tried {pruning.after_layer}:{pruning.keep_ratio} ({trial.cost:.0%} of the work): {trial.check.line()}"
        )
    for name, parity in report.parity.items():
        print(
            f"  {name}: {manifest.variants[name].method}; agrees with torch on {parity.num_pictures} pictures "
            f"(cosine >= {parity.min_cosine:.7f})"
        )
        if name in report.retrieval:
            print(f"    {report.retrieval[name].line()}")
    print(f"next: lodisc index build CATALOGUE --images PICTURES --bundle {path_word(out)}")


def _read_figures(path: Path) -> dict[str, float]:
    """The numbers of a JSON object, as `lodisc evaluate --json` prints it."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--figures {path} is not readable JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"--figures {path} holds {type(values).__name__}, expected a JSON object")
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
