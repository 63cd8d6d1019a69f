"""A client of a lodisc server, for programs: `Client` waits for an answer, `AsyncClient` is awaited.

    with Client("http://127.0.0.1:3000", api_key=key) as client:
        answer = client.search("unknown.jpg", k=5, filter='genus == "Vanessa"')
        print(answer.prediction.label, [match.id for match in answer.matches])

Both have the same methods, made from one list (`clients.py`): what a call sends (`calls.py`), how its answer is read
(`readings.py`) and when it is sent again (`retries.py`) is said once. Nothing is read from the environment: no key, and
no proxy unless asked. Every refusal of the server is an exception of one tree (`errors.py`).
"""

from lodisc.client.answers import (
    Attention,
    Embedded,
    Help,
    Item,
    ItemPage,
    LabelCount,
    LabelPage,
    LabelVote,
    Match,
    Model,
    PictureEmbedding,
    Prediction,
    QueryWeight,
    RankVote,
    Readiness,
    SearchAnswer,
    Stats,
    Thumbnail,
)
from lodisc.client.clients import AsyncClient, Client
from lodisc.client.errors import (
    AccessRefusedError,
    AnswerError,
    ClientError,
    ItemNotFoundError,
    NotReadyError,
    OverloadedError,
    PictureProblem,
    PicturesRefusedError,
    ServerFailedError,
    ServerTimeoutError,
    ServerUnreachableError,
    UnexpectedAnswerError,
)
from lodisc.client.retries import Retries

__all__ = [
    "AccessRefusedError",
    "AnswerError",
    "AsyncClient",
    "Attention",
    "Client",
    "ClientError",
    "Embedded",
    "Help",
    "Item",
    "ItemNotFoundError",
    "ItemPage",
    "LabelCount",
    "LabelPage",
    "LabelVote",
    "Match",
    "Model",
    "NotReadyError",
    "OverloadedError",
    "PictureEmbedding",
    "PictureProblem",
    "PicturesRefusedError",
    "Prediction",
    "QueryWeight",
    "RankVote",
    "Readiness",
    "Retries",
    "SearchAnswer",
    "ServerFailedError",
    "ServerTimeoutError",
    "ServerUnreachableError",
    "Stats",
    "Thumbnail",
    "UnexpectedAnswerError",
]
