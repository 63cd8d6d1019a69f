"""The labels of a rank over HTTP, for a page or form that lets a person choose among many: never all at once."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from index.label_tally import first_labels
from service.problems import RequestError
from service.requests import integer, query_options
from service.runtime import Runtime

DEFAULT_LIMIT = 20
MAX_LIMIT = 1000


async def list_labels(request: Request) -> Response:
    """GET /labels: those of one rank that begin with a prefix, with the number of their items."""
    options = query_options(request.query_params, ("rank", "prefix", "limit"))
    limit = integer("limit", options.get("limit", DEFAULT_LIMIT), 1, MAX_LIMIT)
    if "rank" not in options:
        raise RequestError("`rank` is missing, expected the name of a label rank such as species")
    rank = options["rank"]
    runtime: Runtime = request.app.state.runtime
    tally = await runtime.in_thread(runtime.serving.catalogue.labels)
    if tally and rank not in tally:
        raise RequestError(
            f"no item has a label of the rank {rank[:60]!a}; there are {', '.join(tally)}",
            detail={"ranks": list(tally)},
        )
    page = await runtime.in_thread(first_labels, tally.get(rank, {}), options.get("prefix", ""), limit)
    labels = [{"label": label, "items": count} for label, count in page.labels]
    return JSONResponse({"rank": rank, "labels": labels, "total": page.total})
