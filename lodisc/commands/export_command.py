"""`lodisc export`: a run to a bundle."""

import argparse
import importlib
import json
from pathlib import Path

from encoder.errors import ConfigError, MissingExtraError

HELP = """\
Turn a training run into a bundle: the ONNX encoder and the manifest that a server needs.
The bundle is written only if it agrees with torch on real pictures (cosine at least 0.9999).

examples:
  lodisc export run/ --out bundle/
  lodisc export run/ --out bundle/ --pictures photos/ --domain "garden butterflies" --licence CC-BY-4.0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of `lodisc train`, or its checkpoint")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="pictures for the comparison (default: the training pictures)",
    )
    parser.add_argument("--name", help="name of the bundle (default: the name of its folder)")
    parser.add_argument("--domain", help="what pictures it knows, as a short noun phrase (default: name of --data)")
    parser.add_argument("--licence", default="not stated", help="licence of the weights")
    parser.add_argument(
        "--figures",
        type=Path,
        metavar="JSON",
        help="measurements to store: the output of lodisc evaluate --json",
    )
    parser.add_argument("--untrained", action="store_true", help="export the initial weights instead, as a control")
    parser.add_argument("--half-weights", action="store_true", help="store the weights as float16: half the file")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is already there")


def run(args: argparse.Namespace) -> int:
    """Export, compare, write, and say what to do next."""
    try:
        bundling = importlib.import_module("export.bundling")
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"lodisc export needs {error.name}: pip install '.[train]'") from error
    manifest, parity = bundling.export_run(
        args.run,
        args.out,
        pictures=args.pictures,
        name=args.name,
        domain=args.domain,
        licence=args.licence,
        figures=_read_figures(args.figures) if args.figures else None,
        untrained=args.untrained,
        half_weights=args.half_weights,
        overwrite=args.overwrite,
    )
    print(
        f"bundle {args.out}: id {manifest.id}, {manifest.embedding_dim} dimensions; agrees with torch on "
        f"{parity.num_pictures} pictures (cosine >= {parity.min_cosine:.7f})"
    )
    print(f"next: lodisc index build CATALOGUE --images PICTURES --bundle {args.out}")
    return 0


def _read_figures(path: Path) -> dict[str, float]:
    """The numbers of a JSON object, as `lodisc evaluate --json` prints it."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--figures {path} is not readable JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"--figures {path} holds {type(values).__name__}, expected a JSON object")
    return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
