from pathlib import Path

import pytest

from encoder.errors import ConfigError
from service.settings import Settings


def test_every_field_has_a_variable() -> None:
    settings = Settings.from_environment(
        {
            "LODISC_CATALOGUE": "/data/catalogue",
            "LODISC_BUNDLE": "",
            "LODISC_THREADS": "3",
            "LODISC_ALLOW_WRITES": "true",
            "LODISC_BODY_TIMEOUT_S": "2.5",
            "PROMETHEUS_MULTIPROC_DIR": "/tmp/metrics",
            "HOME": "/root",
        }
    )
    assert settings == Settings(
        catalogue=Path("/data/catalogue"),
        threads=3,
        allow_writes=True,
        body_timeout_s=2.5,
        prometheus_dir=Path("/tmp/metrics"),
    )
    assert settings.num_threads == 3


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("LODISC_CATALOG", "/data", "LODISC_CATALOG is no setting"),
        ("LODISC_THREADS", "many", "LODISC_THREADS is 'many'"),
        ("LODISC_THREADS", "-1", "at least 0"),
        ("LODISC_ALLOW_WRITES", "maybe", "expected true or false"),
        ("LODISC_BODY_TIMEOUT_S", "nan", "at least 1"),
        ("LODISC_MAX_QUEUED_PICTURES", "1", "at least 64"),
    ],
)
def test_a_bad_variable_is_named(variable: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Settings.from_environment({variable: value})


def test_threads_are_divided_among_workers() -> None:
    alone, among_many = Settings(), Settings(workers=1000)
    assert alone.num_threads >= among_many.num_threads == 1
    assert among_many.num_decode_threads == 1


@pytest.mark.parametrize(("threads", "decoders"), [(1, 1), (3, 3), (8, 8), (64, 8)])
def test_as_many_pictures_are_decoded_at_once_as_threads_were_said(threads: int, decoders: int) -> None:
    assert Settings(threads=threads).num_decode_threads == decoders
