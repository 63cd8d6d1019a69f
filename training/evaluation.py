"""How good an encoder is on labelled pictures, with the baselines beside it (the protocols of arXiv:2403.04066).

    retrieval   cosine; rank-1, rank-5, mAP over the full list; leave one out, or queries against a gallery
    knn         the vote of 20 neighbours (`training.knn`)
    linear      one linear layer, learnt on the training pictures (`training.linear_probe`)

Each figure carries its bootstrap interval over the queries. Nothing is chosen here: what is measured is what it is
given, and choosing a checkpoint by these figures on a test set would make them worthless. `lodisc train --holdout`
keeps pictures to choose by.
"""

# N pictures, Q queries, D embedding dim.

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from encoder.bootstrap import Figure, mean_figure
from encoder.errors import ConfigError, SourceError
from encoder.manifest import MANIFEST_NAME
from encoder.retrieval_metrics import QueryResults, rank_queries
from training.embedders import Embedder, LabelledPictures, histogram_embeddings, run_embedders
from training.knn import Hits, classify_by_neighbours
from training.linear_probe import linear_probe

PROTOCOLS = ("retrieval", "knn", "linear")


@dataclass(frozen=True)
class Evaluation:
    """What was measured of one method.

    Attributes:
        figures: by name: rank_1, rank_5, mAP, knn_top_1, knn_top_5, linear_top_1, linear_top_5.
        results: what became of each query; None without the protocol retrieval.
    """

    figures: dict[str, Figure]
    results: QueryResults | None


def evaluate(
    source: Path,
    pictures: LabelledPictures,
    gallery: LabelledPictures | None = None,
    train: LabelledPictures | None = None,
    *,
    device: torch.device,
    feature: str | None = None,
    protocols: Sequence[str] = ("retrieval",),
    baselines: bool = True,
) -> dict[str, Evaluation]:
    """Measure a run or a bundle, and beside it the untrained network (runs only) and the colour histogram.

    Args:
        source: folder of a run or of a bundle, or a checkpoint.
        pictures: the queries.
        gallery: what they are searched in; None means leave one out among the queries.
        train: what kNN and linear probing learn from; the gallery if None.
        device: for a run; a bundle uses the CPU.
        feature: another feature of the run than its recipe names; not for bundles.
        protocols: of `PROTOCOLS`.
        baselines: also measure the baselines.

    Returns:
        By method: "encoder", "the stage before" or "initial weights", "untrained", "colour histogram".

    Raises:
        ConfigError: a feature was named for a bundle, linear probing has nothing to learn from, or a query is a file of
            the gallery or of what is learnt from.
        SourceError: no query can be answered, or there is only one label.
    """
    for others, where in (gallery, "gallery"), (train, "pictures to learn from"):
        if others is not None:
            _refuse_queries_among(others, pictures, where)
    train = train or gallery
    _require_two_labels(pictures, gallery)
    if "linear" in protocols and train is None:
        raise ConfigError("linear probing needs pictures to learn from; name them with --gallery, or use a --layout")
    if (source / MANIFEST_NAME).is_file():
        if feature is not None:
            raise ConfigError(f"{source} is a bundle: its feature is fixed; --feature goes with a run")
        embedders: dict[str, Embedder] = {"encoder": _bundle_embedder(source)}
    else:
        embedders = run_embedders(source, device, feature, baselines=baselines)
    if baselines:
        embedders["colour histogram"] = histogram_embeddings
    return {name: _measure(embed, pictures, gallery, train, protocols) for name, embed in embedders.items()}


def _bundle_embedder(bundle: Path) -> Embedder:
    """Imported only where a bundle is measured, so that a run can be where ONNX Runtime is not installed."""
    embedder: Embedder = importlib.import_module("training.bundle_embedder").BundleEmbedder(bundle)
    return embedder


def _refuse_queries_among(others: LabelledPictures, queries: LabelledPictures, where: str) -> None:
    """A query that is among what it is asked of finds itself, whatever the encoder."""
    known = {path.resolve() for path in others.paths}
    shared = [path for path in queries.paths if path.resolve() in known]
    if shared:
        raise ConfigError(
            f"{shared[0]} is among the queries and the {where} ({len(shared)} of {len(queries.paths)} queries are), so "
            "it would find itself; give other pictures as --gallery, or leave it out to search among the queries"
        )


def _require_two_labels(pictures: LabelledPictures, gallery: LabelledPictures | None) -> None:
    """With one label every answer is right, whatever the encoder."""
    labels = {*pictures.labels, *(gallery.labels if gallery is not None else ())}
    if len(labels) < 2:
        raise SourceError(
            f"all {len(pictures.labels)} pictures are labelled {pictures.labels[0]!r}, so every answer would be right; "
            "give pictures of at least two labels, one sub-folder each"
        )


def _measure(
    embed: Embedder,
    pictures: LabelledPictures,
    gallery: LabelledPictures | None,
    train: LabelledPictures | None,
    protocols: Sequence[str],
) -> Evaluation:
    figures: dict[str, Figure] = {}
    results = None
    queries_QD = embed(pictures)
    gallery_ND = embed(gallery) if gallery is not None else None
    if "retrieval" in protocols:
        gallery_labels = gallery.labels if gallery is not None else None
        results = rank_queries(queries_QD, pictures.labels, gallery_ND, gallery_labels)
        if not results.labels:
            raise SourceError(
                f"none of the {len(pictures.paths)} queries has another picture of its label to be found; retrieval "
                "needs two of a label, or a --gallery that has the labels of the queries"
            )
        figures |= _retrieval_figures(results)
    if "knn" in protocols or "linear" in protocols:
        train_ND = gallery_ND if train is gallery or train is None else embed(train)
        learn = (train_ND, train.labels) if train is not None and train_ND is not None else (None, None)
        if "knn" in protocols:
            figures |= _hit_figures("knn", classify_by_neighbours(queries_QD, pictures.labels, *learn))
        if "linear" in protocols and learn[0] is not None and learn[1] is not None:
            figures |= _hit_figures("linear", linear_probe(queries_QD, pictures.labels, learn[0], learn[1]))
    return Evaluation(figures, results)


def _retrieval_figures(results: QueryResults) -> dict[str, Figure]:
    return {
        "rank_1": mean_figure((results.first_hit_A < 1).astype(np.float64)),
        "rank_5": mean_figure((results.first_hit_A < 5).astype(np.float64)),
        "mAP": mean_figure(results.average_precision_A),
    }


def _hit_figures(name: str, hits: Hits) -> dict[str, Figure]:
    return {f"{name}_top_1": mean_figure(hits.top_1_Q), f"{name}_top_5": mean_figure(hits.top_5_Q)}
