"""`lodisc bundle`: what a bundle is, whether it still answers as it did, and in what two differ."""

import argparse
import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from encoder.bundle import Bundle
from encoder.bundle_parts import join_bundle, split_bundle
from encoder.errors import ConfigError, LodiscError, MissingExtraError, ParityError
from encoder.golden import load_golden
from encoder.image_encoder import ImageEncoder
from encoder.manifest import Variant
from encoder.parity import (
    TOLERANCES,
    Embedder,
    Tolerance,
    encoder_embedder,
    measure_parity,
    require_parity,
    tolerance_of,
)
from encoder.shell_words import path_word
from lodisc.actions import Action, add_actions, run_action
from lodisc.server_embedder import server_embedder
from lodisc.server_option import add_server_arguments, open_client

HELP = """\
Look at bundles: what one is, whether it is whole and answers as it did when it was exported, in what two differ.

examples:
  lodisc bundle show bundle/
  lodisc bundle verify bundle/
  lodisc bundle verify bundle/ --server http://127.0.0.1:3000
  lodisc bundle verify bundle/ --run run/
  lodisc bundle diff bundle/ other-bundle/
  lodisc bundle register bundle/ --tag butterflies
  lodisc bundle split bundle/ --out parts/ --max-mb 15
  lodisc bundle join parts/ --out bundle/

Each action explains itself: lodisc bundle ACTION --help
"""

VERIFY_HELP = """\
Check every file against its hash, then put the golden pictures through each variant and compare with what the network
gave in torch when the bundle was made. Exit code 1 if something disagrees, 2 if files are damaged.

--server asks a running server for the same pictures; --run asks the network in torch again.

examples:
  lodisc bundle verify bundle/
  lodisc bundle verify bundle/ --server http://127.0.0.1:3000
  lodisc bundle verify bundle/ --run run/
"""

DIFF_HELP = """\
List in what two bundles differ. Exit code 1 if anything does.

examples:
  lodisc bundle diff bundle/ other-bundle/
"""

REGISTER_HELP = """\
Copy a bundle into BentoML's model store, so that a bentofile.yaml can name it under `models:` and a Bento brings it.

examples:
  lodisc bundle register bundle/
  lodisc bundle register bundle/ --tag butterflies
"""

SPLIT_HELP = """\
Cut a bundle into parts of at most --max-mb megabytes (of 1,000,000 bytes) with the SHA-256 of each, for where large
files cannot go. `lodisc bundle join` puts them together.

examples:
  lodisc bundle split bundle/ --out parts/
  lodisc bundle split bundle/ --out parts/ --max-mb 5 --overwrite
"""

JOIN_HELP = """\
Put the parts of a bundle together. The bundle appears only if every part and every file is the one that was split.

examples:
  lodisc bundle join parts/ --out bundle/
"""


def _add_show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the manifest")


def _add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    add_server_arguments(parser, "also ask a running server")
    parser.add_argument("--run", type=Path, metavar="RUN", help="also ask the network in torch")
    parser.add_argument("--providers", default="cpu", metavar="A,B", help="to run on (default: %(default)s)")


def _add_diff_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("other", type=Path, metavar="OTHER", help="the other bundle")


def _add_register_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tag", help="name in the store (default: the bundle's name)")


def _add_split_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="PARTS", help="folder of the parts")
    parser.add_argument("--max-mb", type=float, default=15, metavar="MB", help="of a part (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace what is already there")


def _add_join_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is already there")


def _add_parts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("parts", type=Path, metavar="PARTS", help="folder of `lodisc bundle split`")


def _show(args: argparse.Namespace) -> int:
    bundle = Bundle.open(args.bundle)
    manifest = bundle.manifest
    if args.json:
        print(json.dumps(asdict(manifest), indent=2))
        return 0
    rows = {
        "bundle": f"{args.bundle} ({_megabytes(bundle)})",
        "name": manifest.name,
        "id": manifest.id,
        "knows": manifest.domain,
        "trained on": manifest.trained_on,
        "weights": manifest.source,
        "licence": manifest.licence,
        "embedding": f"{manifest.feature}, {manifest.embedding_dim} dimensions",
        "input": f"{manifest.preprocessing.image_size} pixels, {manifest.preprocessing.resize}, "
        f"{manifest.preprocessing.interpolation}, crop {manifest.preprocessing.crop_fraction:g}",
        "outputs": ", ".join(manifest.outputs),
        "patch scores": "attention of CLS"
        if "attention" in manifest.outputs
        else "norms of the patch features (no CLS token)"
        if "tokens" in manifest.outputs
        else "none",
    }
    for name, value in rows.items():
        print(f"{name:<13} {value}")
    for name, variant in manifest.variants.items():
        print(f"variant       {name}: {_variant_line(variant)}")
    for name, figure in manifest.figures.items():
        print(f"measured      {name} {figure:.4g}")
    return 0


def _variant_line(variant: Variant) -> str:
    parity = variant.parity
    parts = [variant.method]
    if variant.built_for:
        parts.append(f"for {variant.built_for.gpu}")
    if "min_cosine" in parity:
        parts.append(f"cosine with torch >= {parity['min_cosine']:.6f}")
    if parity.get("num_queries"):
        parts.append(f"mAP {parity['mAP']:.4f} (fp32 {parity['mAP_fp32']:.4f})")
    return ", ".join(parts)


def _megabytes(bundle: Bundle) -> str:
    return f"{sum(path.stat().st_size for path in bundle.path.iterdir() if path.is_file()) / 1e6:.1f} MB"


def _verify(args: argparse.Namespace) -> int:
    bundle = Bundle.open(args.bundle)
    manifest = bundle.manifest
    print(f"{args.bundle}: every file is the one that its manifest describes (id {manifest.id})")
    if manifest.golden_sha256 is None:
        raise ConfigError(f"bundle {args.bundle} has no golden pictures to compare on; export it again")
    asked = list(_asked(args, bundle))
    table = Table("answers of", "pictures", "least cosine", "greatest difference", "verdict")
    references, faults = load_golden(bundle.path), []
    for what, embedder, tolerance in asked:
        try:
            parity = measure_parity(embedder(), references)
            require_parity(parity, tolerance, what)
        except LodiscError as error:
            faults.append(str(error))
            table.add_row(what, "", "", "", "FAILED")
            continue
        skipped = f" (skipped: {', '.join(parity.skipped)})" if parity.skipped else ""
        table.add_row(
            what,
            f"{parity.num_pictures}{skipped}",
            f"{parity.min_cosine:.7f}",
            f"{parity.max_difference:.1e}",
            "agrees",
        )
    Console().print(table)
    if faults:
        raise ParityError("; ".join(faults))
    return 0


def _asked(args: argparse.Namespace, bundle: Bundle) -> Iterator[tuple[str, Callable[[], Embedder], Tolerance]]:
    """Who is asked for the golden pictures, what makes them ready to answer, and how far off each may be."""
    providers = args.providers.split(",")
    for name, variant in bundle.manifest.variants.items():
        if variant.built_for is not None and "tensorrt" not in providers:
            print(f"variant {name} is a TensorRT engine: not asked, since --providers is {args.providers}")
            continue
        yield f"variant {name}", _variant_embedder(bundle, name, providers), tolerance_of(variant)
    if args.run:
        yield f"run {args.run}", lambda: _run_embedder(args.run), TOLERANCES["fp32"]
    if args.server:
        yield (
            f"server {args.server}",
            lambda: server_embedder(lambda: open_client(args), bundle.manifest),
            TOLERANCES["fp32"],
        )


def _variant_embedder(bundle: Bundle, name: str, providers: Sequence[str]) -> Callable[[], Embedder]:
    return lambda: encoder_embedder(ImageEncoder(bundle, variant=name, providers=providers))


def _run_embedder(run_path: Path) -> Embedder:
    try:
        network = importlib.import_module("export.our_network").run_network(run_path)
        embedder: Embedder = importlib.import_module("export.references").torch_embedder(network)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"--run needs {error.name}: pip install -e '.[train]'") from error
    return embedder


def _diff(args: argparse.Namespace) -> int:
    one, other = (asdict(Bundle.open(path).manifest) for path in (args.bundle, args.other))
    lines = list(_differences("", one, other))
    for line in lines:
        print(line)
    if not lines:
        print("no difference")
    return 1 if lines else 0


def _differences(where: str, one: Any, other: Any) -> Iterator[str]:
    """Each value that differs, by its path in the manifest."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            path = f"{where}.{key}" if where else key
            if key not in one or key not in other:
                yield f"{path}: only in the {'second' if key in other else 'first'}"
            else:
                yield from _differences(path, one[key], other[key])
    elif one != other:
        yield f"{where}: {_shown(one)} -> {_shown(other)}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _register(args: argparse.Namespace) -> int:
    bundle = Bundle.open(args.bundle)
    tag = importlib.import_module("service.model_store").register(bundle, args.tag)
    print(f"registered as {tag}; in bentofile.yaml:\n\nmodels:\n  - {tag}\n\nand LODISC_BUNDLE=bentoml:{tag} serves it")
    return 0


def _split(args: argparse.Namespace) -> int:
    if not 0 < args.max_mb < float("inf"):
        raise ConfigError(f"--max-mb is {args.max_mb}, expected above 0")
    parts = split_bundle(Bundle.open(args.bundle), args.out, int(args.max_mb * 1e6), overwrite=args.overwrite)
    print(
        f"{args.out}: {len(parts.parts)} parts of bundle {parts.bundle_id}; "
        f"next: lodisc bundle join {path_word(args.out)}"
    )
    return 0


def _join(args: argparse.Namespace) -> int:
    bundle = join_bundle(args.parts, args.out, overwrite=args.overwrite)
    print(f"{args.out}: bundle {bundle.manifest.id}, every file is the one that was split")
    return 0


ACTIONS = (
    Action("show", "what a bundle is", "Say what a bundle is, from its manifest.", _show, _add_show_arguments),
    Action("verify", "whether it is whole and answers as it did", VERIFY_HELP, _verify, _add_verify_arguments),
    Action("diff", "in what two bundles differ", DIFF_HELP, _diff, _add_diff_arguments),
    Action("register", "copy it into BentoML's model store", REGISTER_HELP, _register, _add_register_arguments),
    Action("split", "cut it into parts no larger than asked", SPLIT_HELP, _split, _add_split_arguments),
    Action("join", "put its parts together", JOIN_HELP, _join, _add_join_arguments, _add_parts),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their arguments."""
    add_actions(
        parser,
        ACTIONS,
        lambda action: action.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of `lodisc export`"),
    )


run = run_action
