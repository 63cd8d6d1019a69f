"""What is wrong with the pictures of a request that cannot be used: each fails alone, by its position."""

from collections.abc import Iterable, Sequence
from typing import Any

from encoder.errors import LodiscError, PictureError


def problem(error: LodiscError) -> dict[str, Any]:
    """The `error` object of one error, as it also stands at a bad picture's position in an answer."""
    detail: dict[str, Any] = dict(error.detail or {})
    if isinstance(error, PictureError) and error.position is not None:
        detail["position"] = error.position
    return {"code": error.code, "message": str(error), "detail": detail or None}


def picture_problems(outcomes: Iterable[object]) -> list[dict[str, Any]]:
    """The `errors` of an answer.

    Args:
        outcomes: of each picture, in the request's order, what came of it or its `PictureError`.
    """
    return [
        {"position": position, "error": problem(one)}
        for position, one in enumerate(outcomes)
        if isinstance(one, PictureError)
    ]


def require_one_good(outcomes: Sequence[object]) -> None:
    """Refuse a request of which no picture is good, naming each by its position.

    Args:
        outcomes: of each picture what came of it or its `PictureError`, which knows its position.

    Raises:
        PictureError: 422 whatever the pictures' own statuses are: the request was well-formed.
    """
    bad = [one for one in outcomes if isinstance(one, PictureError)]
    if len(bad) < len(outcomes):
        return
    first = bad[0]
    where = f"picture {first.position}" if len(bad) == 1 else f"none of {len(bad)} pictures is good; picture 0"
    refusal = PictureError(
        f"{where}: {first}", position=first.position, detail={"pictures": [_located(one) for one in bad]}
    )
    refusal.code = first.code
    raise refusal


def _located(error: PictureError) -> dict[str, Any]:
    return {"position": error.position, "code": error.code, "message": str(error)}
