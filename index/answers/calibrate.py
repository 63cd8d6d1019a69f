"""Fitting a catalogue's answers on its own items, each looked for among the others, or on pictures taken since.

What comes of items says how sure an answer is for pictures like those of the catalogue. Where several of its pictures
are of one shelf, one specimen or one burst, each finds the others and a new picture finds none: then name the metadata
field that tells them apart (`group`), or a catalogue of labelled new pictures (`questions`).
"""

# N items, Q questions.

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from encoder.errors import ConfigError, EncoderMismatchError
from index.answers.calibration import DEFAULT_FLOOR, Calibration
from index.answers.classes import Classes, read_classes
from index.answers.fit_ranks import MIN_QUESTIONS, calibrated_ranks, fit_ranks
from index.answers.fit_several import with_several
from index.answers.fit_unknown import fit_unknown
from index.answers.fit_vote import KS, MAX_K, choose_settings, typical_size
from index.answers.leave_one_out import Questions, ask_others, leave_one_out
from index.catalogue import Catalogue
from index.evaluation_items import NONE, EvaluatedItems, read_items
from index.progress import CountedProgress
from index.vectors import unpack

DEFAULT_SAMPLE = 2000
NUM_FOLDS = 5
LEAVE_ONE_OUT = "leave one out"


def calibrate_catalogue(
    catalogue: Catalogue,
    *,
    floor: float = DEFAULT_FLOOR,
    false_acceptance: float | None = None,
    group: str | None = None,
    questions: Catalogue | None = None,
    sample: int = DEFAULT_SAMPLE,
    seed: int = 0,
    quiet: bool = False,
) -> Calibration:
    """Fit vote, confidence and unknown score. Nothing is stored; see `index.answers.calibration.write_calibration`.

    Args:
        catalogue: to calibrate.
        floor: least confidence of a sure answer.
        false_acceptance: share of strangers that may be taken for known; None for the default.
        group: metadata field; an item's neighbours are not those with its value.
        questions: a catalogue of labelled pictures to ask instead of the items themselves.
        sample: not more questions than this, drawn at random; 0 for all.
        seed: of the draw and of the folds.
        quiet: show no progress.

    Raises:
        ConfigError: there are not enough labels to fit on, or no item has the group's field.
        EncoderMismatchError: another encoder filled the catalogue of questions.
    """
    change = catalogue.stats().last_change
    with tempfile.TemporaryDirectory(prefix="lodisc-calibrate-") as folder:
        items = read_items(catalogue, None, Path(folder), group)
        if group is not None and items.group_N is None:
            raise ConfigError(f"--group is {group!r}, but no item of {catalogue.path} has that in its metadata")
        classes = read_classes(items, catalogue.ranks)
        asked = _asked(items, classes, questions, catalogue, sample, seed, quiet=quiet)
        _require_enough(catalogue, classes, asked)
    asked = asked.answerable()
    fold_Q = np.random.default_rng(seed).permutation(len(asked.class_Q)) % NUM_FOLDS
    settings, *by_fold = choose_settings(classes, asked, fold_Q, NUM_FOLDS)
    ranks = fit_ranks(classes, asked, settings, by_fold, fold_Q, floor)
    calibration = Calibration(
        encoder_id=catalogue.manifest.id, change=change, num_items=len(items.ids), num_questions=len(asked.class_Q),
        asked=LEAVE_ONE_OUT if questions is None else questions.path.resolve().name, group=group, seed=seed,
        k=settings.k, temperature=settings.temperature, class_exponent=settings.class_exponent,
        far_cosine=settings.far_cosine, floor=floor,
        class_sizes=classes.sizes if settings.class_exponent else {}, typical_size=typical_size(classes), ranks=ranks,
        unknown=fit_unknown(classes, asked, settings, list(ranks), false_acceptance, NUM_FOLDS, seed),
    )  # fmt: skip
    return with_several(calibration, items, classes, asked, seed)


def _asked(
    items: EvaluatedItems,
    classes: Classes,
    questions: Catalogue | None,
    catalogue: Catalogue,
    sample: int,
    seed: int,
    *,
    quiet: bool,
) -> Questions:
    """The questions with their neighbours."""
    k = max(KS[0], min(MAX_K, len(items.ids) - 1))  # neighbours that lack are noted as such
    generator = np.random.default_rng(seed)
    if questions is None:
        labelled_N = np.logical_or.reduce([codes_N != NONE for codes_N in classes.codes.values()], initial=False)
        drawn = generator.permutation(np.flatnonzero(labelled_N))
        positions_Q = np.sort(drawn[:sample] if sample else drawn)
        with CountedProgress("asking", len(positions_Q), quiet=quiet) as progress:
            return leave_one_out(items, classes, positions_Q, k, lambda: progress.advance_to(progress.done + 1))
    if questions.manifest.id != catalogue.manifest.id:
        raise EncoderMismatchError(
            f"the questions {questions.path} were embedded by encoder {questions.manifest.id}, the catalogue by "
            f"{catalogue.manifest.id}; build them with --bundle {catalogue.bundle_path}",
            detail={"found": questions.manifest.id, "expected": catalogue.manifest.id},
        )
    records = [record for record in questions.records(thumbnails=False) if record.item.labels]
    drawn = np.sort(generator.permutation(len(records))[: sample or None])
    vectors_QD = unpack([records[place].vector for place in drawn.tolist()], catalogue.manifest.embedding_dim)
    labels: Sequence[dict[str, str]] = [records[place].item.labels for place in drawn.tolist()]
    with CountedProgress("asking", len(labels), quiet=quiet) as progress:
        return ask_others(items, classes, vectors_QD, labels, k, lambda: progress.advance_to(progress.done + 1))


def _require_enough(catalogue: Catalogue, classes: Classes, asked: Questions) -> None:
    """See that a rank can be calibrated.

    Raises:
        ConfigError: none can.
    """
    if not classes.ranks:
        raise ConfigError(f"no item of {catalogue.path} has a label; there is nothing to calibrate")
    if calibrated_ranks(classes, asked):
        return
    if len(classes.finest_N) == 1:
        raise ConfigError(f"{catalogue.path} has a single item; there is nothing to tell apart")
    if all(len(classes.keys[rank]) == 1 for rank in classes.ranks):
        raise ConfigError(f"all items of {catalogue.path} have the same label; there is nothing to tell apart")
    most = max(int((asked.own[rank] != NONE).sum()) for rank in classes.ranks if len(classes.keys[rank]) > 1)
    raise ConfigError(
        f"{most} pictures that may be asked have a label that another item of {catalogue.path} has too, at least "
        f"{MIN_QUESTIONS} such are needed; add pictures, two or more of a label"
    )
