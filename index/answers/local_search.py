"""Re-ranking and explanation of one search, over HTTP and on the command line alike.

`plan_local` says before anything is encoded what the search needs; the plan then does it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image

from encoder.errors import ConfigError
from encoder.manifest import Manifest
from index.answers.explanation import Box, Seen, attention_document, explain, seen_box
from index.answers.local_features import LocalFeatures, PivotalPatches
from index.answers.local_table import LocalTable
from index.answers.patch_projection import PatchProjection
from index.answers.rerank_fit import RerankFit
from index.answers.reranking import CANDIDATES, local_scores, rerank
from index.catalogue import MAX_K, Catalogue
from index.items import Match
from index.sqlite_catalogue import SqliteCatalogue

EXPLAINED = 5  # matches, the first of them


@dataclass(frozen=True)
class QueryPicture:
    """A photograph of the query; `box` is the part of it that the encoder saw."""

    patches: PivotalPatches
    box: Box


@dataclass(frozen=True)
class LocalPlan:
    """What a search does with pivotal patches.

    Attributes:
        catalogue: that is searched.
        projection: of its patch features.
        weight: of the local score; None where the order stays.
        explains: whether the first matches are explained.
    """

    catalogue: SqliteCatalogue
    projection: PatchProjection
    weight: float | None
    explains: bool

    @property
    def reranks(self) -> bool:
        """Whether the order is by patches too."""
        return self.weight is not None

    def num_candidates(self, k: int) -> int:
        """How many items to search for, to answer with `k`."""
        return min(MAX_K, max(k, CANDIDATES)) if self.reranks else k

    def photographs(self, pictures: Mapping[int, QueryPicture]) -> dict[int, Seen]:
        """The photographs of a query, by their numbers, ready to be compared."""
        return {
            number: Seen(self.projection.project(picture.patches), picture.box, number)
            for number, picture in pictures.items()
        }

    def item_as_query(self, item_id: str) -> dict[int, Seen]:
        """An item in place of a photograph; nothing where its patches are not kept."""
        features = self.table.read([item_id]).get(item_id)
        return {} if features is None else {0: self._item(item_id, features)}

    @property
    def table(self) -> LocalTable:
        """The local features of the catalogue."""
        return self.catalogue.local

    def order(self, matches: Sequence[Match], query: Mapping[int, Seen], k: int) -> list[Match]:
        """The k best matches; re-ranked where that is planned and the query has patches."""
        if self.weight is None or not query:
            return list(matches[:k])
        first = matches[:CANDIDATES]
        kept = self.table.read([match.id for match in first])
        pictures = {number: seen.features for number, seen in query.items()}
        scores = local_scores(pictures, [kept.get(match.id) for match in first])
        return rerank(matches, scores, self.weight)[:k]

    def explanations(self, matches: Sequence[Match], query: Mapping[int, Seen]) -> list[dict[str, Any] | None]:
        """Of each of the first matches why it is one; None where its patches, or the query's, are not known."""
        first = matches[:EXPLAINED] if self.explains else []
        kept = self.table.read([match.id for match in first])
        pictures = {number: seen.features for number, seen in query.items()}
        scores = local_scores(pictures, [kept.get(match.id) for match in first])
        found: list[dict[str, Any] | None] = []
        for match, picture in zip(first, scores.picture_C.tolist(), strict=True):
            features = kept.get(match.id)
            if features is None or picture not in query:
                found.append(None)
            else:
                found.append(explain(query[picture], self._item(match.id, features), self.grid))
        return found

    def _item(self, item_id: str, features: LocalFeatures) -> Seen:
        return Seen(features, _thumbnail_box(self.catalogue.manifest, self.catalogue.thumbnail(item_id)))

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the encoder's patches."""
        grid = self.catalogue.manifest.patch_grid
        assert grid is not None  # an encoder with patch features has one
        return grid


def plan_local(catalogue: Catalogue, *, rerank: bool | None, explains: bool, has_patches: bool) -> LocalPlan | None:
    """What a search of a catalogue does with pivotal patches; None where it does nothing with them.

    Args:
        catalogue: to be searched.
        rerank: whether it was asked for; None leaves it to what was measured when the catalogue was fitted.
        explains: whether explanations were asked for.
        has_patches: whether the query has any: a bare embedding has none.

    Raises:
        ConfigError: it was asked for and cannot be done; the message says what would mend that.
    """
    asked = explains or bool(rerank)
    if rerank is False and not explains:
        return None
    if not isinstance(catalogue, SqliteCatalogue):
        if asked:
            raise ConfigError("a catalogue in Milvus keeps no local features to re-rank or explain by")
        return None
    if not has_patches:
        if asked:
            raise ConfigError("an embedding has no patches to re-rank or explain by; ask with a picture or an item")
        return None
    projection = catalogue.local.projection()
    if projection is None:
        if asked:
            raise ConfigError(refusal(catalogue))
        return None
    fit = RerankFit.of(catalogue.local)
    weight = fit.weight if rerank or (rerank is None and fit.by_default) else None
    if weight is None and not explains:
        return None
    return LocalPlan(catalogue, projection, weight, explains)


def refusal(catalogue: Catalogue) -> str:
    """Why a catalogue cannot re-rank or explain, and what to do."""
    if "tokens" not in catalogue.manifest.outputs:
        return (
            f"encoder {catalogue.manifest.name} gives no patch features, so nothing can be re-ranked or explained by "
            "them; export a bundle that has the output `tokens`"
        )
    return (
        "the catalogue keeps no local features to re-rank or explain by; make them with `lodisc index local CATALOGUE`"
    )


def add_to_document(
    document: dict[str, Any], plan: LocalPlan, matches: Sequence[Match], query: Mapping[int, Seen]
) -> None:
    """Put what the patches brought into the answer to a search.

    Args:
        document: the answer, its matches in the same order.
        plan: of the search.
        matches: of the answer.
        query: its photographs.
    """
    document["reranked"] = plan.reranks and bool(query)
    for entry, match in zip(document["matches"], matches, strict=True):
        if match.global_score is not None:
            entry["global_score"] = round(match.global_score, 6)
            entry["local_score"] = None if match.local_score is None else round(match.local_score, 6)
    for entry, explanation in zip(document["matches"], plan.explanations(matches, query), strict=False):
        entry["explanation"] = explanation
    for entry in document.get("query", ()):
        if plan.explains and entry["position"] in query:
            entry["attention"] = attention_document(query[entry["position"]], plan.grid)


def _thumbnail_box(manifest: Manifest, thumbnail: bytes | None) -> Box:
    """The part that the encoder saw of an item, by the shape of its thumbnail; all of it where there is none."""
    if not thumbnail:
        return 0.0, 0.0, 1.0, 1.0
    with Image.open(BytesIO(thumbnail)) as picture:  # reads the header only
        return seen_box(manifest, picture.width, picture.height)
