"""Addresses of stores, and what is said of those that are none."""

import pytest

from encoder.errors import ConfigError
from index.milvus.address import parse_address


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("milvus://db.example:19530/photos", "http://db.example:19530"),
        ("milvus+tls://10.0.0.1:443/photos", "https://10.0.0.1:443"),
        ("milvus://[::1]:19530/photos", "http://[::1]:19530"),
    ],
)
def test_servers(text, uri):
    address = parse_address(text)
    assert (address.text, address.uri, address.collection, address.embedded) == (text, uri, "photos", False)


def test_an_embedded_one_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_address("milvus-lite:x.db") == parse_address(f"milvus-lite:{tmp_path}/x.db")
    assert parse_address("milvus-lite:x.db").embedded


@pytest.mark.parametrize(
    "text",
    ["", "milvus://h/photos", "milvus://h:0/p", "milvus://h:99999/p", "milvus://h:1/", "milvus://h:1/a-b", "http://h:1/p",
     "milvus://h:1/a/b", "milvus-lite:.db", "milvus-lite:x", "photos/"],
)  # fmt: skip
def test_others_are_refused(text):
    with pytest.raises(ConfigError, match=r"expected milvus://HOST:PORT/NAME"):
        parse_address(text)


def test_a_password_in_an_address_is_not_shown():
    with pytest.raises(ConfigError) as caught:
        parse_address("milvus://root:secret@h:1/p")
    assert "secret" not in caught.value.message
