"""`lodisc index local`: keep what re-ranking and explanations need, and see whether re-ranking helps."""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

from encoder.errors import ConfigError
from index.answers.local_build import LocalReport, make_local_features
from index.answers.local_search import refusal
from index.answers.rerank_fit import DEFAULT_SAMPLE, RerankFit, fit
from index.division import bulk_encoder
from index.open_catalogue import open_catalogue
from index.sources.reading import read_source
from index.sqlite_catalogue import SqliteCatalogue
from lodisc.commands.whole_numbers import positive

LOCAL_HELP = f"""\
Keep the pivotal patches of every item, about 1 kB each: what `lodisc search --rerank` puts the first matches in a
better order by, and `--explain` shows which region met which with. Then measure whether re-ranking helps this
catalogue, by its own labels (leave one out). It is on by default only where the 95 % interval of the gain is above 0.

It may be interrupted and run again at any time: only items that lack them are gone through. From then on `build`, `add`
and a server keep them for what they add (with --engine ray and `import`, run this again). Pictures are read where they
were indexed from, or in --images; where one is gone, its thumbnail stands in for it.

examples:
  lodisc index local catalogue/
  lodisc index local catalogue/ --images moved/photos/
  lodisc index local catalogue/ --fresh --json

--sample is {DEFAULT_SAMPLE} unless told.
"""


def add_local_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--images", metavar="SOURCE", help="where the pictures are now, if they have moved: as `build --images`"
    )
    parser.add_argument("--bundle", type=Path, metavar="BUNDLE", help="where the encoder is now, if it has moved")
    parser.add_argument("--fresh", action="store_true", help="learn the projection anew and go through all items")
    parser.add_argument(
        "--sample", type=positive, default=DEFAULT_SAMPLE, metavar="N", help="measure on N items at most (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="SEED", help="of the sample (%(default)s)")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run_local(args: argparse.Namespace) -> int:
    """Make what is lacking, fit, and say what came of it; 1 if an item has no picture that can be read."""
    source = read_source(args.images) if args.images is not None else None
    quiet = args.quiet or args.json
    with open_catalogue(args.catalogue) as catalogue:
        if not isinstance(catalogue, SqliteCatalogue):
            raise ConfigError(f"{args.catalogue} is kept in Milvus, which holds no local features")
        if "tokens" not in catalogue.manifest.outputs:
            raise ConfigError(refusal(catalogue))
        bundle = catalogue.find_bundle(args.bundle)
        encoder, _ = bulk_encoder(bundle, variant=catalogue.variant)
        report = make_local_features(
            catalogue, encoder, source=source, fresh=args.fresh, threads=os.cpu_count() or 1, quiet=quiet
        )
        found = fit(catalogue, sample=args.sample, seed=args.seed, quiet=quiet) if catalogue.local.count() else None
        num_items, num_kept = catalogue.count(), catalogue.local.count()
    if args.json:
        told = {"items": num_items, "with_features": num_kept, **asdict(report)}
        print(json.dumps(told | {"rerank": None if found is None else asdict(found)}, indent=2, ensure_ascii=False))
    else:
        print(_text(args.catalogue, report, found, num_items, num_kept))
    return int(report.failed > 0)


def _text(path: Path, report: LocalReport, found: RerankFit | None, num_items: int, num_kept: int) -> str:
    lines = [f"{path}: local features of {num_kept} of {num_items} items, {report.made} made now"]
    if report.of_thumbnails:
        lines.append(
            f"{report.of_thumbnails} of their thumbnails, because the picture could not be read "
            f"(the first: {report.first_reason}); where they have moved: --images SOURCE"
        )
    if report.failed:
        lines.append(f"{report.failed} items have no picture that can be read (the first: {report.first_reason})")
    if found is not None:
        lines.append(f"re-ranking {found.text()}")
    return "\n".join(lines)
