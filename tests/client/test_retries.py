"""When a call is sent again: against a made-up network, with a clock that nobody waits for."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from encoder.errors import ConfigError
from lodisc.client import (
    AsyncClient,
    Client,
    NotReadyError,
    OverloadedError,
    Retries,
    ServerFailedError,
    ServerTimeoutError,
    ServerUnreachableError,
    UnexpectedAnswerError,
)
from lodisc.client.call import Call
from lodisc.client.retries import retry_after_s

URL = "http://server.test"
READY = {"status": "ready", "model": "m"}
ITEM = {"id": "a", "labels": {}, "metadata": {}, "thumbnail": "/items/a/thumbnail"}
FIXED = Retries(draw=lambda: 1.0)


def refusal(status, code="overloaded", **headers):
    document = {"error": {"code": code, "message": "no", "detail": None}}
    return httpx.Response(status, json=document, headers=headers)


class Script:
    """A network that answers what is written down, and keeps what it was sent."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.sent = []
        self.waits = []

    def __call__(self, request):
        request.read()
        self.sent.append(request)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, type):
            raise outcome("broken", request=request)
        return outcome

    async def sleep(self, seconds):
        self.waits.append(seconds)

    def both(self, use, outcomes, retries=FIXED):
        """What the two clients make of the same outcomes; they must do the same."""
        results = []
        for kind in (Client, AsyncClient):
            self.outcomes, self.sent, self.waits = list(outcomes()), [], []
            transport = httpx.MockTransport(self)
            if kind is Client:
                client = Client(URL, retries=retries, sleep=self.waits.append, transport=transport)
                result = _outcome(lambda client=client: use(client))
            else:
                client = AsyncClient(URL, retries=retries, sleep=self.sleep, transport=transport)

                async def awaited(client=client):
                    return await use(client)

                result = _outcome(lambda awaited=awaited: asyncio.run(awaited()))
            results.append((result, [_body(request) for request in self.sent], self.waits))
        one, other = results
        assert one[1:] == other[1:]
        assert (type(one[0]), str(one[0])) == (type(other[0]), str(other[0]))
        return one


def _body(request):
    """What was sent, without the boundary of its parts, which is drawn anew each time."""
    boundary = request.headers.get("content-type", "").rpartition("boundary=")[2]
    return request.content.replace(boundary.encode(), b"BOUNDARY") if boundary else request.content


def _outcome(call):
    try:
        return call()
    except Exception as error:
        return error


@pytest.fixture
def script():
    return Script()


def test_an_overloaded_server_is_asked_again_after_what_it_said(script):
    value, sent, waits = script.both(
        lambda client: client.get_item("a"),
        lambda: [refusal(429, **{"Retry-After": "2"}), refusal(503, "not_ready"), httpx.Response(200, json=ITEM)],
    )
    assert value.id == "a"
    assert len(sent) == 3
    assert waits == [2.5, 0.4]  # what it said and a quarter; then the second step of our own doubling


def test_jitter_never_comes_before_what_the_server_said():
    for draw, expected in ((0.0, 2.0), (1.0, 2.5)):
        retries = Retries(draw=lambda draw=draw: draw)
        assert retries.wait_s(refusal(429, **{"Retry-After": "2"}), 1) == expected
    broken = httpx.ConnectError("x")
    assert Retries(draw=lambda: 0.0).wait_s(broken, 3) == 0.4
    assert Retries(draw=lambda: 1.0).wait_s(broken, 3) == 0.8
    assert Retries(draw=lambda: 1.0, attempts=99).wait_s(broken, 50) == 10.0


def test_attempts_are_bounded_and_the_last_refusal_is_told(script):
    error, sent, waits = script.both(lambda client: client.stats(), lambda: [refusal(429) for _ in range(9)])
    assert isinstance(error, OverloadedError)
    assert (error.status, error.code, error.detail, error.exit_code) == (429, "overloaded", {}, 1)
    assert (len(sent), waits) == (4, [0.2, 0.4, 0.8])


def test_a_pause_longer_than_the_bound_is_told_at_once(script):
    error, sent, waits = script.both(
        lambda client: client.stats(), lambda: [refusal(503, "not_ready", **{"Retry-After": "3600"})]
    )
    assert isinstance(error, NotReadyError)
    assert error.retry_after_s == 3600
    assert (len(sent), waits) == (1, [])


def test_a_body_is_whole_when_it_is_sent_again(script):
    _, sent, waits = script.both(
        lambda client: client.put_item("a", b"the picture", labels={"species": "x"}),
        lambda: [httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, httpx.Response(200, json=ITEM)],
    )
    assert waits == [0.2, 0.4, 0.8]
    assert len(sent) == 4
    assert set(sent) == {sent[0]}
    assert b"the picture" in sent[0]


def test_no_connection_at_all(script):
    error, sent, _ = script.both(lambda client: client.ready(), lambda: [httpx.ConnectError] * 4)
    assert isinstance(error, ServerUnreachableError)
    assert "http://server.test did not answer 4 times (broken)" in str(error)
    assert len(sent) == 4


def test_what_took_too_long_is_not_asked_twice(script):
    error, sent, _ = script.both(lambda client: client.embed(b"x"), lambda: [httpx.ReadTimeout])
    assert isinstance(error, ServerTimeoutError)
    assert len(sent) == 1


def test_a_call_that_changes_something_each_time_is_sent_once(script):
    post = Call(method="POST", path="/x", read=lambda response: response.json())
    for outcome in (lambda: httpx.ConnectError, lambda: refusal(429), lambda: refusal(503)):
        _, sent, waits = script.both(lambda client: client.run(post), lambda outcome=outcome: [outcome()])
        assert (len(sent), waits) == (1, [])


@pytest.mark.parametrize("status", [400, 404, 500, 502])
def test_other_refusals_are_not_asked_twice(script, status):
    error, sent, _ = script.both(lambda client: client.stats(), lambda: [refusal(status, "some_code")])
    assert len(sent) == 1
    assert (error.status, error.code, error.message) == (status, "some_code", "no")
    assert isinstance(error, ServerFailedError) == (status >= 500)


def test_not_ready_is_an_answer_to_whether_it_is_ready(script):
    value, sent, _ = script.both(lambda client: client.ready(), lambda: [refusal(503, "not_ready")])
    assert (value.ready, value.reason, len(sent)) == (False, "no", 1)
    value, _, _ = script.both(lambda client: client.ready(), lambda: [httpx.Response(200, json=READY)])
    assert (value.ready, value.reason) == (True, None)


def test_what_is_no_lodisc_server(script):
    error, _, _ = script.both(lambda client: client.stats(), lambda: [httpx.Response(200, html="hello")])
    assert isinstance(error, UnexpectedAnswerError)
    error, _, _ = script.both(lambda client: client.stats(), lambda: [httpx.Response(404, html="no")])
    assert isinstance(error, UnexpectedAnswerError)
    error, _, _ = script.both(lambda client: client.stats(), lambda: [httpx.Response(502, html="no")])
    assert isinstance(error, ServerFailedError)
    error, _, _ = script.both(lambda client: client.delete_item("a"), lambda: [refusal(404, "no_such_route")])
    assert error.code == "no_such_route"


def test_retry_after_in_each_of_its_spellings():
    soon = datetime.now(UTC) + timedelta(seconds=30)
    for text, expected in (
        ("7", 7.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ):
        assert retry_after_s(refusal(429, **{"Retry-After": text})) == expected
    assert 28 < retry_after_s(refusal(429, **{"Retry-After": format_datetime(soon, usegmt=True)})) <= 30


def test_the_key_goes_with_each_call_and_not_along_a_redirect():
    network = Script(httpx.Response(307, headers={"Location": "http://elsewhere.test/stats"}))
    client = Client(URL, api_key="lodisc_k", transport=httpx.MockTransport(network))
    with client, pytest.raises(UnexpectedAnswerError):
        client.stats()
    assert [request.headers["authorization"] for request in network.sent] == ["Bearer lodisc_k"]


def test_nothing_is_taken_from_the_environment(monkeypatch):
    monkeypatch.setenv("LODISC_API_KEY", "from-the-environment")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    network = Script(httpx.Response(200, json=READY))
    with Client(URL, transport=httpx.MockTransport(network)) as client:
        assert client.ready().ready
        assert client._http._mounts == {}
    assert "authorization" not in network.sent[0].headers
    with Client(URL, proxies_from_environment=True) as client:
        assert client._http._mounts != {}


@pytest.mark.parametrize("url", ["", "server", "ftp://server", "http://", "127.0.0.1:3000"])
def test_what_is_no_address(url):
    with pytest.raises(ConfigError):
        Client(url)


@pytest.mark.parametrize("key", ["", "a\nb", "ä", " a"])
def test_what_is_no_key(key):
    with pytest.raises(ConfigError, match="API key"):
        Client(URL, api_key=key)


def test_what_retries_cannot_be():
    for wrong in ({"attempts": 0}, {"first_wait_s": -1}, {"max_wait_s": -1}):
        with pytest.raises(ConfigError):
            Retries(**wrong)
