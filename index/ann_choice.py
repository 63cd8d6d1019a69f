"""Which index a snapshot becomes: exact while that is fast, else the fastest that meets recall and memory on a sample.

What was tried, and with what outcome, is kept with the snapshot. The choice stands until the catalogue has doubled or
halved, or something else is wished for; how hard the chosen index must look is tuned anew at every compaction.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from index.ann_candidates import CANDIDATES, FLAT, serialized_bytes, train_and_fill, usable_candidates
from index.ann_tuning import DEPTHS, NUM_QUERIES, exact_truth, tune_first
from index.ann_wishes import IndexWishes
from index.schema import PARTIAL_PREFIX
from index.vector_file import VectorFile, write_vectors
from index.vectors import STORED_DTYPE

logger = logging.getLogger(__name__)

# Numbers (vectors x dimensions) up to which search is exact: about 2 ms on one thread, and nothing to choose.
EXACT_NUMBERS = 8_000_000
LEAST_APPROXIMATE = 2  # fewer have no neighbours to tune on
SAMPLE_SIZE = 50_000
# A snapshot is built again whenever a share of it has changed, so that it must not take for ever.
MOST_BUILD_S_PER_MILLION = 300.0
# Of those about as fast as the fastest, the one that is built soonest: every compaction pays for that.
NEARLY_AS_FAST = 1.5
TUNING_SEED = 1


@dataclass(frozen=True, kw_only=True)
class Trial:
    """An index type as it did on the sample.

    Attributes:
        kind: its name.
        recall: at depth 10.
        latency_ms: median of one query.
        memory_bytes: extrapolated to all vectors.
        build_s: extrapolated to all vectors.
        verdict: "chosen", or why not.
    """

    kind: str
    recall: float
    latency_ms: float
    memory_bytes: int
    build_s: float
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An index type, and what it was chosen from.

    Attributes:
        kind: its name, or the factory string that was asked for.
        factory: FAISS factory string for the present number of vectors.
        trials: what was tried; empty where nothing was to be tried.
        count: vectors when it was chosen.
    """

    kind: str
    factory: str
    trials: tuple[Trial, ...]
    count: int


def choose(vectors: VectorFile, wishes: IndexWishes, before: Choice | None, aside: Path) -> Choice:
    """Choose the index of a snapshot.

    Args:
        vectors: of the snapshot.
        wishes: what is asked for.
        before: choice of the last snapshot under the same wishes, if there is one.
        aside: folder for the sample; nothing is left in it.

    Returns:
        The choice; where nothing meets the wishes the nearest to them, which is logged.
    """
    count, dim = vectors.count, vectors.dim
    if count < LEAST_APPROXIMATE:
        return Choice(kind=FLAT.name, factory=FLAT.pattern, trials=(), count=count)
    if wishes.faiss:
        return Choice(kind=wishes.faiss, factory=wishes.faiss, trials=(), count=count)
    if wishes.exact or count * dim <= EXACT_NUMBERS:
        return Choice(kind=FLAT.name, factory=FLAT.pattern, trials=(), count=count)
    if before is not None and before.trials and before.count / 2 < count < before.count * 2:
        kept = next(one for one in (FLAT, *CANDIDATES) if one.name == before.kind)
        return Choice(kind=kept.name, factory=kept.factory(count, dim), trials=before.trials, count=before.count)
    trials = _try_all(vectors, wishes, aside)
    chosen = _best(trials, wishes, count, dim)
    trials = [_judged(trial, chosen, wishes, count, dim) for trial in trials]
    factory = next(one for one in (FLAT, *CANDIDATES) if one.name == chosen).factory(count, dim)
    return Choice(kind=chosen, factory=factory, trials=tuple(trials), count=count)


def _try_all(vectors: VectorFile, wishes: IndexWishes, aside: Path) -> list[Trial]:
    path = aside / f"{PARTIAL_PREFIX}sample"
    try:
        drawn_SD = vectors.sample(SAMPLE_SIZE, TUNING_SEED).astype(STORED_DTYPE)
        write_vectors(path, enumerate(row.tobytes() for row in drawn_SD))
        sample = VectorFile(path, len(drawn_SD), vectors.dim)
        truth = exact_truth(sample, NUM_QUERIES[DEPTHS[0]], DEPTHS[0], TUNING_SEED)
        scale = vectors.count / sample.count
        trials = []
        for candidate in usable_candidates(sample.count, vectors.dim):
            started = time.perf_counter()
            index = train_and_fill(candidate.factory(sample.count, vectors.dim), sample)
            build_s = time.perf_counter() - started
            point = tune_first(index, sample, truth, wishes.recall)
            trials.append(
                Trial(
                    kind=candidate.name,
                    recall=point.recall,
                    latency_ms=point.latency_ms,
                    memory_bytes=int(scale * serialized_bytes(index)),
                    build_s=scale * build_s,
                    verdict="",
                )
            )
    finally:
        path.unlink(missing_ok=True)
    return trials


def _best(trials: Sequence[Trial], wishes: IndexWishes, count: int, dim: int) -> str:
    """The fastest that meets everything, or nearly so fast; else exact search if it fits; else what comes nearest."""
    fits = [trial for trial in trials if _fault(trial, wishes, count, dim) in ("", "recall")]
    meets = [trial for trial in fits if not _fault(trial, wishes, count, dim)]
    if meets:
        fastest = min(trial.latency_ms for trial in meets)
        near = [trial for trial in meets if trial.latency_ms <= NEARLY_AS_FAST * fastest]
        return min(near, key=lambda trial: trial.build_s).kind
    if 4 * count * dim <= wishes.memory_limit(count, dim):
        return FLAT.name
    if fits:
        chosen = max(fits, key=lambda trial: trial.recall)
        logger.warning("no index type reaches recall %g on a sample; %s comes to %.3f", wishes.recall, chosen.kind,
                       chosen.recall)  # fmt: skip
        return chosen.kind
    chosen = min(trials, key=lambda trial: trial.memory_bytes)
    logger.warning("no index type fits into --memory; %s needs least, %d MB", chosen.kind, chosen.memory_bytes // 10**6)
    return chosen.kind


def _fault(trial: Trial, wishes: IndexWishes, count: int, dim: int) -> str:
    if trial.memory_bytes > wishes.memory_limit(count, dim):
        return "memory"
    if trial.build_s > MOST_BUILD_S_PER_MILLION * max(count / 1e6, 1):
        return "build time"
    return "recall" if trial.recall < wishes.recall else ""


def _judged(trial: Trial, chosen: str, wishes: IndexWishes, count: int, dim: int) -> Trial:
    verdict = "chosen" if trial.kind == chosen else (_fault(trial, wishes, count, dim) or "slower, or later built")
    return Trial(**{**vars(trial), "verdict": verdict})
