"""What does the work of `lodisc index build` and `add`: threads of this process, or a Ray cluster."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from encoder.bundle import Bundle
from encoder.errors import ConfigError
from index.build import BuildReport, build, fill
from index.catalogue import Catalogue
from index.division import bulk_encoder
from index.sources.picture import Source
from lodisc.commands.whole_numbers import positive

ENGINES = ("local", "ray")

# Indexes a source into a catalogue with the encoder of a bundle; the last is `prune` of `index.build.fill`. Where that
# is None, as for `add`, the source is one beside others, and items of other places are not replaced.
Fill = Callable[[Catalogue, Bundle, Source, bool | None], BuildReport]


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


def check_engine(args: argparse.Namespace) -> None:
    """See that the arguments are those of the engine that was asked for.

    Raises:
        ConfigError: one belongs to the other.
    """
    if args.engine == "local" and (args.ray_address is not None or args.actors is not None):
        raise ConfigError("--ray-address and --actors belong to --engine ray")


@contextmanager
def engine(args: argparse.Namespace) -> Iterator[Fill]:
    """The engine that was asked for, as long as the block runs; a cluster is found before a catalogue is touched.

    Raises:
        ConfigError: an argument of the other engine was given, or there is no such cluster.
        ClusterError: the cluster has no room, or failed.
        MissingExtraError: Ray is not installed.
    """
    check_engine(args)
    if args.engine == "local":
        yield partial(_fill_locally, args)
        return
    from index.ray_cluster import cluster  # an extra: only once chosen
    from index.ray_engine import RayEngine

    def fill_by_ray(catalogue: Catalogue, bundle: Bundle, source: Source, prune: bool | None) -> BuildReport:
        variant = catalogue.choose_variant(bundle, args.variant)
        working = RayEngine(catalogue, bundle, variant, division, batch_size=args.batch_size, keep_taken=prune is None)
        return fill(catalogue, working, source, prune=prune, quiet=args.quiet or args.json)

    with cluster(args.ray_address, actors=args.actors, num_threads=args.encoder_threads) as division:
        yield fill_by_ray


def _fill_locally(
    args: argparse.Namespace, catalogue: Catalogue, bundle: Bundle, source: Source, prune: bool | None
) -> BuildReport:
    encoder, calls = bulk_encoder(bundle, args.encoder_threads, catalogue.choose_variant(bundle, args.variant))
    return build(
        catalogue, encoder, source, threads=args.threads, encoder_calls=calls, batch_size=args.batch_size,
        prune=prune, keep_taken=prune is None, quiet=args.quiet or args.json,
    )  # fmt: skip
