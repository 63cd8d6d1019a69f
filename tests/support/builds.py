"""Builds of one catalogue from one source after another."""

import tarfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from encoder.bundle import Bundle
from encoder.image_encoder import ImageEncoder
from index.build import BuildReport, build, open_for_build
from index.sources.reading import read_source
from index.sqlite_catalogue import SqliteCatalogue


class Builds:
    """Fills the catalogue at `path` from each source that it is called with."""

    def __init__(self, path: Path, bundle: Bundle) -> None:
        self.path, self.bundle = path, bundle

    def __call__(self, source: Path, **options: Any) -> BuildReport:
        with opened(self) as catalogue:
            return build(catalogue, ImageEncoder(self.bundle), read_source(source), quiet=True, **options)


def opened(builds: Builds) -> SqliteCatalogue:
    """The catalogue, to look at."""
    return open_for_build(builds.path, builds.bundle)


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """A shard of these files."""
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, BytesIO(data))
