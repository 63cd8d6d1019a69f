"""The routes, thin: read what was asked (`requests.py`), have it done, write it down.

Every route is listed once, in `ROUTES`; `openapi.py` describes the same list and a test holds them together.
"""

import base64
import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from encoder.errors import PictureError
from encoder.manifest import Manifest
from index.answer import answer
from index.answers.asking import Asked, ask
from index.answers.calibration import Calibration
from index.answers.explanation import Seen
from index.answers.local_search import LocalPlan, add_to_document
from index.domain import domain_note
from index.picture_problems import picture_problems, problem, require_one_good
from service import item_batches, item_routes, label_routes, web_pages
from service.clients import client_of
from service.deadline import while_wanted
from service.embedding_cache import EncodedPicture
from service.local_answers import plan_search, seen_query
from service.metrics import CONTENT_TYPE, Metrics
from service.numbers_response import NumbersResponse
from service.openapi import description
from service.pipeline import Stages
from service.problems import RequestError
from service.requests import SearchRequest, query_options, read_embed, read_search
from service.runtime import Runtime, Serving

# N photographs, D embedding dim.


async def embed(request: Request) -> Response:
    """POST /embed: one embedding a picture, each picture failing alone."""
    runtime: Runtime = request.app.state.runtime
    serving = runtime.serving
    manifest = serving.manifest
    serving.pipeline.require_room(client_of(request))  # before a body is read for nothing
    start_s = time.perf_counter()
    asked = await read_embed(request, runtime.settings)
    _stage(runtime.metrics, Stages(), "read", start_s)
    if asked.attention and manifest.outputs == ["embedding"]:
        raise RequestError(f"`attention` is not offered by this encoder, {manifest.name}")
    work = serving.pipeline.encode(asked.images, client=client_of(request), attention=asked.attention)
    encoded = await while_wanted(request, runtime.settings.deadline_s, work)
    require_one_good(encoded)
    results = [
        {"error": problem(one)} if isinstance(one, PictureError) else _embedded(one, manifest, asked.encoding)
        for one in encoded
    ]
    return NumbersResponse({"model": {"id": manifest.id, "dim": manifest.embedding_dim}, "results": results})


async def search(request: Request) -> Response:
    """POST /search: the nearest items of one thing, given by pictures, an embedding, or an item.

    Several pictures in one request are photographs of one thing, each of which counts as much as its neighbours say
    (`index.answers.fusion`). Pictures that cannot be read are left out and listed in `errors`.
    """
    runtime: Runtime = request.app.state.runtime
    serving = runtime.serving
    if request.headers.get("content-type", "").startswith("multipart/"):  # pictures, then
        serving.pipeline.require_room(client_of(request))
    start_s = time.perf_counter()
    asked = await read_search(request, runtime.settings, serving.manifest.embedding_dim)
    stages = Stages()
    _stage(runtime.metrics, stages, "read", start_s)
    plan = await runtime.in_thread(plan_search, serving.catalogue, asked)
    calibration = serving.calibration.current()
    work = _found(runtime, serving, asked, plan, calibration, client_of(request), stages)
    found, query, positions, errors = await while_wanted(request, runtime.settings.deadline_s, work)
    if found.photographs[0]:
        runtime.metrics.best_similarity.observe(found.photographs[0][0].score)
    stages.add("total", time.perf_counter() - start_s)
    document = answer(
        serving.manifest, found, stages.milliseconds, domain=serving.catalogue.domain, ranks=serving.catalogue.ranks,
        calibration=calibration, positions=positions,
    )  # fmt: skip
    if plan is not None:
        await runtime.in_thread(add_to_document, document, plan, found.matches, query)
    runtime.metrics.answers.labels(verdict=_verdict(document["prediction"])).inc()
    if errors:
        document["errors"] = errors
    return JSONResponse(document)


async def _found(
    runtime: Runtime,
    serving: Serving,
    asked: SearchRequest,
    plan: LocalPlan | None,
    calibration: Calibration | None,
    client: str,
    stages: Stages,
) -> tuple[Asked, dict[int, Seen], list[int], list[dict[str, Any]]]:
    """What was found, the query's patches, the positions of its pictures, and what is wrong with each other picture."""
    photographs_ND, pictures, errors = await _photographs(runtime, serving, asked, plan, client, stages)
    exclude = (asked.item_id,) if asked.item_id is not None else ()
    start_s = time.perf_counter()
    found = await runtime.in_thread(
        ask, serving.catalogue, photographs_ND, k=asked.k if plan is None else plan.num_candidates(asked.k),
        exclude_ids=exclude, filter=asked.filter, calibration=calibration,
    )  # fmt: skip
    _stage(runtime.metrics, stages, "search", start_s)
    if plan is None:
        return found, {}, list(pictures), errors
    start_s = time.perf_counter()
    query = await runtime.in_thread(seen_query, plan, asked, pictures)
    found = replace(found, matches=await runtime.in_thread(plan.order, found.matches, query, asked.k))
    _stage(runtime.metrics, stages, "rerank", start_s)
    return found, query, list(pictures), errors


async def _photographs(
    runtime: Runtime, serving: Serving, asked: SearchRequest, plan: LocalPlan | None, client: str, stages: Stages
) -> tuple[NDArray[np.float32], dict[int, EncodedPicture], list[dict[str, Any]]]:
    """The embeddings (N, D) to search with, the pictures they are of, and what is wrong with each other picture."""
    if asked.embedding is not None:
        return asked.embedding[np.newaxis], {}, []
    if asked.item_id is not None:
        return (await runtime.in_thread(serving.catalogue.embedding, asked.item_id))[np.newaxis], {}, []
    encoded = await serving.pipeline.encode(
        asked.images,
        client=client,
        patches=plan is not None,
        influence=plan is not None and plan.explains,
        stages=stages,
    )
    require_one_good(encoded)
    good = {position: one for position, one in enumerate(encoded) if isinstance(one, EncodedPicture)}
    return np.stack([one.embedding_D for one in good.values()]), good, picture_problems(encoded)


def _verdict(prediction: dict[str, Any]) -> str:
    """What a prediction is counted as."""
    if not prediction["calibrated"]:
        return "uncalibrated"
    if prediction["unknown"]:
        return "unknown"
    return "known" if prediction["sure"] else "unsure"


async def stats(request: Request) -> Response:
    """GET /stats: what is served."""
    query_options(request.query_params, ())
    runtime: Runtime = request.app.state.runtime
    serving = runtime.serving
    manifest = serving.manifest
    catalogue = await runtime.in_thread(serving.catalogue.stats)
    return JSONResponse(
        {
            "model": {
                "id": manifest.id,
                "name": manifest.name,
                "dim": manifest.embedding_dim,
                "domain": manifest.domain,
                "trained_on": manifest.trained_on,
                "licence": manifest.licence,
                "figures": manifest.figures,
            },
            "catalogue": item_routes.stats_document(catalogue),
            "note": domain_note(manifest, serving.catalogue.domain),
            "may_write": request.state.may_write,
            "limits": {
                "max_body_bytes": runtime.settings.max_body_bytes,
                "max_pictures": runtime.settings.max_pictures,
                "max_pixels": runtime.settings.max_pixels,
            },
        }
    )


async def livez(request: Request) -> Response:
    """GET /livez: the process runs."""
    return JSONResponse({"status": "alive"})


async def readyz(request: Request) -> Response:
    """GET /readyz: 200 where a search would be answered, 503 with the reason where not."""
    runtime: Runtime = request.app.state.runtime
    runtime.require_ready()
    return JSONResponse({"status": "ready", "model": runtime.serving.manifest.id})


async def metrics(request: Request) -> Response:
    """GET /metrics: for Prometheus."""
    runtime: Runtime = request.app.state.runtime
    content = await runtime.in_thread(runtime.metrics.render)
    return Response(content, headers={"Content-Type": CONTENT_TYPE})


async def openapi_document(request: Request) -> Response:
    """GET /openapi.json."""
    return JSONResponse(description())


def _embedded(one: EncodedPicture, manifest: Manifest, encoding: str) -> dict[str, Any]:
    result: dict[str, Any] = {"embedding": _spelt(one.embedding_D, encoding)}
    if one.attention_P is not None:
        result["attention"] = {
            "grid": list(manifest.patch_grid or (1, len(one.attention_P))),
            "box": one.box,
            "scores": np.ascontiguousarray(one.attention_P),
        }
    return result


def _spelt(embedding_D: NDArray[np.float32], encoding: str) -> NDArray[np.float32] | str:
    if encoding == "base64":
        return base64.b64encode(embedding_D.astype("<f4").tobytes()).decode("ascii")
    return np.ascontiguousarray(embedding_D)


def _stage(metrics: Metrics, stages: Stages, stage: str, since_s: float) -> None:
    seconds = time.perf_counter() - since_s
    stages.add(stage, seconds)
    metrics.stage_seconds.labels(stage=stage).observe(seconds)


ROUTES = [
    Route("/", web_pages.page, methods=["GET"], name="page"),
    Route("/docs", web_pages.docs, methods=["GET"]),
    Route("/page/{name}", web_pages.page_file, methods=["GET"]),
    Route("/openapi.json", openapi_document, methods=["GET"]),
    Route("/embed", embed, methods=["POST"]),
    Route("/search", search, methods=["POST"]),
    Route("/stats", stats, methods=["GET"]),
    Route("/labels", label_routes.list_labels, methods=["GET"]),
    Route("/items", item_routes.list_items, methods=["GET"]),
    Route("/items", item_batches.put_items, methods=["POST"]),
    Route("/items/{id:path}/thumbnail", item_routes.get_thumbnail, methods=["GET"]),
    Route("/items/{id:path}", item_routes.item, methods=["GET", "PUT", "DELETE"]),
    Route("/livez", livez, methods=["GET"]),
    Route("/readyz", readyz, methods=["GET"]),
    Route("/metrics", metrics, methods=["GET"]),
]
