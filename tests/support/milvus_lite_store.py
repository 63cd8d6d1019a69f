"""A catalogue in Milvus Lite, where that can be installed."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from encoder.bundle import Bundle
from index.milvus.address import MilvusAddress, parse_address

needs_milvus = pytest.mark.skipif(
    find_spec("pymilvus") is None or find_spec("milvus_lite") is None,
    reason="pymilvus and milvus-lite are not installed (extra milvus)",
)


def lite_address(folder: Path) -> MilvusAddress:
    return parse_address(f"milvus-lite:{folder}/items.db")


def create_lite(folder: Path, bundle: Path, **options):
    from index.milvus.opening import create_in_milvus

    folder.mkdir(parents=True, exist_ok=True)
    return create_in_milvus(folder, lite_address(folder), Bundle.open(bundle), **options)
