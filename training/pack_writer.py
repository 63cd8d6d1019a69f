"""The tar files of packs, the same byte for byte whenever the same files are added."""

import hashlib
import io
import tarfile
from pathlib import Path

from encoder.errors import ConfigError
from training.packs import PackFile

TAR_BLOCK = 512  # a file takes one for its header, and whole ones for its content
# What tar adds to a file at the most (a long name takes two headers of its own), and at the end of a pack.
TAR_HEADERS, TAR_END = 4 * TAR_BLOCK, 2 * 10240


class PackWriter:
    """Writes files into one tar after the other, none larger than asked.

    Args:
        folder: where they appear.
        part: what their names begin with.
        pack_bytes: most bytes of each.
    """

    def __init__(self, folder: Path, part: str, pack_bytes: int) -> None:
        self._folder, self._part, self._pack_bytes = folder, part, pack_bytes
        self._packs: list[PackFile] = []
        self._tar: tarfile.TarFile | None = None
        self._num_pictures = 0

    def add(self, name: str, content: bytes, *, is_picture: bool = True) -> None:
        """Add a file, in a new pack if this one would become too large.

        Raises:
            ConfigError: it would not fit into an empty pack either.
        """
        needed = TAR_HEADERS + len(content) + TAR_END
        if needed > self._pack_bytes:
            raise ConfigError(
                f"{name} alone takes {needed} bytes, a pack has at most {self._pack_bytes}; raise --pack-mb"
            )
        if self._tar is not None and self._tar.offset + needed > self._pack_bytes:
            self._finish()
        if self._tar is None:
            self._tar = tarfile.open(self._path(), "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 (closed by _finish)
        # Owner, time and mode are tarfile's defaults and not those of the file: nobody's, 1970 and 644.
        member = tarfile.TarInfo(name)
        member.size = len(content)
        self._tar.addfile(member, io.BytesIO(content))
        self._num_pictures += is_picture

    def close(self) -> list[PackFile]:
        """The packs that were written."""
        if self._tar is not None:
            self._finish()
        return self._packs

    def _path(self) -> Path:
        return self._folder / f"{self._part}-{len(self._packs):03d}.tar"

    def _finish(self) -> None:
        assert self._tar is not None
        self._tar.close()
        path, self._tar = self._path(), None
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self._packs.append(PackFile(path.name, sha256, path.stat().st_size, self._num_pictures))
        self._num_pictures = 0
