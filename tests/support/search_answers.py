"""Answers to POST /search as a server writes them that has a calibration and explains: put before the page by tests.

They name the items of `served_catalogue`, so that thumbnails, labels and filters behind them are real.
"""

from typing import Any
from urllib.parse import quote

from playwright.sync_api import Page, Route

LABELS = {"rosso": "Rubra", "pink rose": "Rubra", "lime": "Viridis", "sky?#%": "Caerula"}
GRID = [2, 3]
WHOLE = [0.0, 0.0, 1.0, 1.0]


def match(species: str, number: int, score: float, **more: Any) -> dict[str, Any]:
    item_id = f"{LABELS[species]}/{species}/{number}.png"
    return {
        "id": item_id,
        "score": score,
        "labels": {"species": species, "genus": LABELS[species]},
        "metadata": {},
        "thumbnail": f"/items/{quote(item_id)}/thumbnail",
        **more,
    }


MATCHES = [match("rosso", 0, 0.93), match("pink rose", 1, 0.92), match("rosso", 2, 0.9), match("lime", 3, 0.4)]
RANKS = [
    {
        "rank": "species",
        "calibrated": True,
        "labels": [
            {"label": "rosso", "confidence": 0.52},
            {"label": "pink rose", "confidence": 0.41},
            {"label": "lime", "confidence": 0.07},
        ],
    },
    {
        "rank": "genus",
        "calibrated": True,
        "labels": [{"label": "Rubra", "confidence": 0.93}, {"label": "Viridis", "confidence": 0.07, "within": "Algae"}],
    },
]
SHARES = [{**rank, "calibrated": False} for rank in RANKS]
RIVALS = {
    "kind": "rivals",
    "rank": "species",
    "labels": ["rosso", "pink rose"],
    "items": {"rosso": "Rubra/rosso/3.png", "pink rose": "Rubra/pink rose/2.png"},
    "text": "rosso and pink rose are often taken for one another.",
}


def prediction(**changes: Any) -> dict[str, Any]:
    """One that is sure of the genus and not of the species."""
    return {
        "label": "Rubra",
        "rank": "genus",
        "confidence": 0.93,
        "sure": True,
        "floor": 0.7,
        "calibrated": True,
        "unknown": False,
        "unknown_score": 0.08,
        "ranks": RANKS,
        "help": None,
        **changes,
    }


def answer(*, num_pictures: int = 1, **changes: Any) -> dict[str, Any]:
    weights = {1: [1.0], 2: [0.62, 0.38]}[num_pictures]
    return {
        "model": {"id": "5f1c0a9be2d37446", "dim": 16, "name": "tiny"},
        "matches": MATCHES,
        "prediction": prediction(),
        "query": [{"position": row, "weight": weight, "attention": None} for row, weight in enumerate(weights)],
        "reranked": False,
        "timing_ms": {"total": 12.3},
        "note": None,
        **changes,
    }


def explanation(**changes: Any) -> dict[str, Any]:
    attention = {"grid": GRID, "box": [0.125, 0.0, 0.875, 1.0], "scores": [0.1, 0.4, 0.1, 0.1, 0.2, 0.1]}
    pairs = [
        {
            "query": {"picture": 0, "patch": 1, "box": [0.25, 0.1, 0.5, 0.3]},
            "item": {"patch": 4, "box": [0.5, 0.5, 0.75, 1.0]},
            "share": 0.31,
        },
        {
            "query": {"picture": 0, "patch": 2, "box": [0.5, 0.5, 0.625, 0.75]},
            "item": {"patch": 0, "box": [0.0, 0.0, 0.125, 0.25]},
            "share": 0.12,
        },
    ]
    return {"pairs": pairs, "query_attention": attention, "item_attention": attention, **changes}


def explained(answer: dict[str, Any], *rows: int) -> dict[str, Any]:
    """The answer with an explanation of some of its matches."""
    matches = [
        {**one, "explanation": explanation(), "global_score": 0.9, "local_score": 0.7} if row in rows else one
        for row, one in enumerate(answer["matches"])
    ]
    return {**answer, "matches": matches}


def put_before(page: Page, *answers: dict[str, Any]) -> list[Any]:
    """Answer the page's searches with these, one after another, the last one from then on.

    Returns:
        What the page sent, as it is sent; of a form, whose pictures Chromium does not show, None.
    """
    sent: list[Any] = []

    def answered(route: Route) -> None:
        sent.append(route.request.post_data_json if "json" in route.request.headers["content-type"] else None)
        route.fulfill(json=answers[min(len(sent), len(answers)) - 1])

    page.route("**/search?*", answered)
    return sent
