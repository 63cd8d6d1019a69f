"""What a server answers, as values. A key that a newer server adds is passed over; `document` has the whole answer."""

# N pictures of a request, P patches, D embedding dim.

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lodisc.client.errors import AnswerError, PictureProblem


@dataclass(frozen=True)
class Model:
    """The encoder that a server runs. Vectors of two encoders do not compare: `id` tells them apart."""

    id: str
    dim: int


@dataclass(frozen=True)
class Attention:
    """What each patch of a picture weighs.

    Attributes:
        scores_P: row-major over the grid. Shape (P,), float32.
        grid: rows and columns.
        box: where the grid lies: left, top, right, bottom, as shares of the upright picture.
    """

    scores_P: NDArray[np.float32]
    grid: tuple[int, int]
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class PictureEmbedding:
    """One picture's embedding (D,), float32 of length 1, and its attention where that was asked for."""

    embedding_D: NDArray[np.float32]
    attention: Attention | None


@dataclass(frozen=True)
class Embedded:
    """The answer to /embed: for each picture, in order, its embedding or what is wrong with it."""

    model: Model
    results: tuple[PictureEmbedding | PictureProblem, ...]

    @property
    def problems(self) -> tuple[PictureProblem, ...]:
        """What is wrong with the pictures that are not usable."""
        return tuple(one for one in self.results if isinstance(one, PictureProblem))

    @property
    def embeddings(self) -> NDArray[np.float32]:
        """All embeddings, one a row. Shape (N, D), float32.

        Raises:
            AnswerError: a picture is not usable, so that its row would be missing; `results` has the others.
        """
        for problem in self.problems:
            raise AnswerError(
                f"picture {problem.position}: {problem.message}", status=422, code=problem.code, detail=vars(problem)
            )
        return np.stack([one.embedding_D for one in self.results if isinstance(one, PictureEmbedding)])


@dataclass(frozen=True)
class Match:
    """One neighbour.

    Attributes:
        score: its cosine with the query; where the matches were re-ranked, what they were ranked by.
        thumbnail: the path of a small picture of it.
        global_score, local_score: the cosine, and how its pivotal patches meet the query's; None without re-ranking.
        explanation: which region of it meets which of the query, where that was asked for.
    """

    id: str
    score: float
    labels: Mapping[str, str]
    metadata: Mapping[str, Any]
    thumbnail: str
    global_score: float | None = None
    local_score: float | None = None
    explanation: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class LabelVote:
    """A label that it may be, and how likely that is; `within` is what is above it where the name stands under two."""

    label: str
    confidence: float
    within: str | None = None


@dataclass(frozen=True)
class RankVote:
    """The likeliest labels of a rank, best first; their confidences are probabilities if `calibrated`, else shares."""

    rank: str
    labels: tuple[LabelVote, ...]
    calibrated: bool = False


@dataclass(frozen=True)
class Help:
    """What would settle an answer that is not settled.

    Attributes:
        kind: rivals (two labels to compare), another_view (a further photograph) or unknown.
        rank: of the labels.
        labels: those it is about, likeliest first.
        items: of each label the id of the nearest item.
        text: one sentence.
    """

    kind: str
    rank: str
    labels: tuple[str, ...]
    items: Mapping[str, str]
    text: str


@dataclass(frozen=True)
class Prediction:
    """The finest name that is sure enough; None where the neighbours have none.

    Attributes:
        label: the name.
        rank: which rank it is of.
        confidence: a probability if `calibrated`, else its share of the vote.
        sure: whether that passes the floor, and it is not unknown.
        floor: least confidence of a sure answer.
        calibrated: whether the catalogue has been calibrated.
        unknown: whether it is none of the catalogue's; None where no verdict can be given.
        unknown_score: in [0, 1]; None likewise.
        ranks: what it may be, finest rank first.
        help: what would settle it; None where it is settled.
    """

    label: str | None
    rank: str | None
    confidence: float | None
    sure: bool
    floor: float | None
    calibrated: bool
    unknown: bool | None
    unknown_score: float | None
    ranks: tuple[RankVote, ...]
    help: Help | None


@dataclass(frozen=True)
class QueryWeight:
    """What one picture of the request counts in the query; the weights sum to 1."""

    position: int
    weight: float


@dataclass(frozen=True)
class SearchAnswer:
    """The answer to /search.

    Attributes:
        model: the encoder.
        matches: best first.
        prediction: what they vote for.
        query: what each picture counts; empty where none was sent.
        problems: what is wrong with the pictures that were left out of the query.
        note: what a person should know of this encoder and this catalogue.
        timing_ms: milliseconds by stage.
        document: the whole answer, as it came.
    """

    model: Model
    matches: tuple[Match, ...]
    prediction: Prediction
    query: tuple[QueryWeight, ...]
    problems: tuple[PictureProblem, ...]
    note: str | None
    timing_ms: Mapping[str, float]
    document: Mapping[str, Any]

    @property
    def reranked(self) -> bool:
        """Whether the order is by pivotal patches too."""
        return bool(self.document.get("reranked", False))


@dataclass(frozen=True)
class Item:
    """One item of the catalogue."""

    id: str
    labels: Mapping[str, str]
    metadata: Mapping[str, Any]
    thumbnail: str


@dataclass(frozen=True)
class ItemPage:
    """Some items, and the `cursor` of the next ones; None on the last page."""

    items: tuple[Item, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class LabelCount:
    """A label, and how many items carry it."""

    label: str
    items: int


@dataclass(frozen=True)
class LabelPage:
    """Labels of a rank, those of most items first; `total` counts all that begin so."""

    rank: str
    labels: tuple[LabelCount, ...]
    total: int


@dataclass(frozen=True)
class Thumbnail:
    """A small picture of an item, and the tag by which to ask later whether it changed."""

    content: bytes
    media_type: str
    etag: str


@dataclass(frozen=True)
class Stats:
    """What is served: how many items, which ranks of labels, the server's limits; all of it in `document`."""

    model: Model
    num_items: int
    ranks: tuple[str, ...]
    limits: Mapping[str, int]
    document: Mapping[str, Any]


@dataclass(frozen=True)
class Readiness:
    """Whether a search would be answered now, and why not."""

    ready: bool
    reason: str | None
