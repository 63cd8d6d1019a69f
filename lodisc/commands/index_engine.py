"""What does the work of `lodisc index build` and `add`: threads of this process, or a Ray cluster."""

import argparse

from encoder.bundle import Bundle
from encoder.errors import ConfigError
from index.build import BuildReport, build, fill
from index.catalogue import Catalogue
from index.division import bulk_encoder
from index.sources.picture import Source

ENGINES = ("local", "ray")


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--engine", choices=ENGINES, default="local",
        help="ray: read and encode on the machines of a Ray cluster, which must see SOURCE as this one does; on one "
        "machine it is slower than local (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--ray-address", metavar="ADDRESS",
        help="of the cluster: host:port, ray://host:port or auto (default: processes of this machine)",
    )  # fmt: skip
    parser.add_argument(
        "--actors", type=positive, metavar="N", help="Ray processes that hold the encoder (default: one a core)"
    )


def fill_by_engine(
    args: argparse.Namespace, catalogue: Catalogue, bundle: Bundle, source: Source, *, prune: bool | None
) -> BuildReport:
    """Index a source by the engine that was asked for; `prune` as for `index.build.fill`.

    Raises:
        ConfigError: an argument of the other engine was given, or there is no such cluster.
        MissingExtraError: Ray is not installed.
    """
    variant = catalogue.choose_variant(bundle, args.variant)
    quiet = args.quiet or args.json
    if args.engine == "local":
        if args.ray_address is not None or args.actors is not None:
            raise ConfigError("--ray-address and --actors belong to --engine ray")
        encoder, calls = bulk_encoder(bundle, args.encoder_threads, variant)
        return build(
            catalogue, encoder, source, threads=args.threads, encoder_calls=calls, batch_size=args.batch_size,
            prune=prune, quiet=quiet,
        )  # fmt: skip
    from index.ray_cluster import cluster  # an extra: only once chosen
    from index.ray_engine import RayEngine

    with cluster(args.ray_address, actors=args.actors, num_threads=args.encoder_threads) as division:
        engine = RayEngine(catalogue, bundle, variant, division, batch_size=args.batch_size)
        return fill(catalogue, engine, source, prune=prune, quiet=quiet)


def positive(text: str) -> int:
    """A whole number of at least 1, from the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
