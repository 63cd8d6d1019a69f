"""Re-ranking and explanations over HTTP: what /search does with pivotal patches, and what writes keep of them."""

from collections.abc import Mapping

from encoder.errors import ConfigError
from index.answers.explanation import Seen
from index.answers.local_search import LocalPlan, QueryPicture, plan_local
from index.answers.patch_projection import PatchProjection
from index.catalogue import Catalogue
from index.sqlite_catalogue import SqliteCatalogue
from service.embedding_cache import EncodedPicture
from service.problems import RequestError
from service.requests import SearchRequest


def plan_search(catalogue: Catalogue, asked: SearchRequest) -> LocalPlan | None:
    """What a search does with pivotal patches; None where it does nothing with them.

    Raises:
        RequestError: it was asked for and cannot be done.
    """
    try:
        return plan_local(catalogue, rerank=asked.rerank, explains=asked.explain, has_patches=asked.embedding is None)
    except ConfigError as error:
        raise RequestError(error.message) from error


def seen_query(plan: LocalPlan | None, asked: SearchRequest, pictures: Mapping[int, EncodedPicture]) -> dict[int, Seen]:
    """The query as a plan compares it; empty where there is nothing to compare.

    Args:
        plan: of the search.
        asked: by whom.
        pictures: the good ones of the request, by position.
    """
    if plan is None:
        return {}
    if asked.item_id is not None:
        return plan.item_as_query(asked.item_id)
    return plan.photographs(
        {number: QueryPicture(one.patches, one.box) for number, one in pictures.items() if one.patches is not None}
    )


def kept_projection(catalogue: Catalogue) -> PatchProjection | None:
    """What new items are projected with; None where the catalogue keeps no local features."""
    return catalogue.local.projection() if isinstance(catalogue, SqliteCatalogue) else None
