"""A bundle in parts no larger than asked, for where large files cannot go; joined again only if nothing is amiss.

parts.json       the parts in order and the SHA-256 of each, the SHA-256 of all together
part-000 ...     cut from one plain tar of the bundle's files
"""

import dataclasses
import hashlib
import io
import json
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from encoder.bundle import Bundle, require_free, write_bundle
from encoder.errors import BundleCorruptError, BundleError, BundleNotFoundError, ConfigError, ManifestError
from encoder.manifest import MANIFEST_NAME, load_manifest
from encoder.own_folder import replace_folder
from encoder.shell_words import path_word
from encoder.strict_json import read_typed

INDEX_NAME = "parts.json"


@dataclass(frozen=True)
class Parts:
    """What parts.json says.

    Attributes:
        bundle_id: of the bundle.
        parts: SHA-256 of each, hex, by file name, in the order of joining.
        sha256: of all together.
    """

    bundle_id: str
    parts: dict[str, str]
    sha256: str


def split_bundle(bundle: Bundle, out: Path, part_bytes: int, *, overwrite: bool = False) -> Parts:
    """Write the parts of a bundle into the folder `out`, which appears by rename.

    Args:
        bundle: verified when it was opened.
        out: folder of the parts.
        part_bytes: most bytes of a part.
        overwrite: replace what is at `out`.

    Raises:
        ConfigError: a part could hold nothing.
        BundleError: something is at `out`, or it cannot be written.
    """
    if part_bytes < 1:
        raise ConfigError(f"a part of {part_bytes} bytes holds nothing; give at least 1")
    require_free(out, overwrite=overwrite, marker=INDEX_NAME)
    whole = _as_tar(bundle.path)
    pieces = {
        f"part-{number:03d}": whole[start : start + part_bytes]
        for number, start in enumerate(range(0, len(whole), part_bytes))
    }
    parts = Parts(bundle.manifest.id, {name: _sha256(piece) for name, piece in pieces.items()}, _sha256(whole))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as work:
            fresh = Path(work) / "parts"
            fresh.mkdir()
            for name, piece in pieces.items():
                (fresh / name).write_bytes(piece)
            (fresh / INDEX_NAME).write_text(json.dumps(dataclasses.asdict(parts), indent=1) + "\n", encoding="utf-8")
            replace_folder(out, fresh)
    except OSError as error:
        raise BundleError(f"parts {out} cannot be written: {error}") from error
    return parts


def join_bundle(folder: Path, out: Path, *, overwrite: bool = False) -> Bundle:
    """Join parts to the bundle `out`, which appears by rename once every file of it was checked.

    Raises:
        BundleNotFoundError: there are no parts in `folder`.
        BundleCorruptError: a part is missing or is not the one that was written.
        BundleError: something is at `out`, or it cannot be written.
    """
    require_free(out, overwrite=overwrite)
    parts = _read_parts(folder)
    pieces = []
    for name, sha256 in parts.parts.items():
        try:
            piece = (folder / name).read_bytes()
        except OSError as error:
            raise BundleCorruptError(f"{folder / name} cannot be read ({error}); copy the part again") from error
        if _sha256(piece) != sha256:
            raise BundleCorruptError(
                f"{folder / name} has sha256 {_sha256(piece)[:16]}..., {INDEX_NAME} says {sha256[:16]}...; "
                "the part was changed or cut short: copy it again"
            )
        pieces.append(piece)
    whole = b"".join(pieces)
    if _sha256(whole) != parts.sha256:
        raise BundleCorruptError(f"the parts in {folder} do not make the bundle that was split; copy them all again")
    try:
        with tempfile.TemporaryDirectory() as work:
            with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
                tar.extractall(work, filter="data")
            files: dict[str, bytes | Path] = {
                path.name: path for path in sorted(Path(work).iterdir()) if path.name != MANIFEST_NAME
            }
            return write_bundle(out, load_manifest(Path(work)), files, overwrite=overwrite)
    except OSError as error:
        raise BundleError(f"bundle {out} cannot be written: {error}") from error


def _read_parts(folder: Path) -> Parts:
    path = folder / INDEX_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleNotFoundError(
            f"{folder} holds no {INDEX_NAME}; `lodisc bundle split BUNDLE --out {path_word(folder)}` writes parts"
        ) from error
    except (OSError, ValueError) as error:
        raise BundleCorruptError(f"{path} cannot be read ({error}); copy it again") from error
    try:
        parts: Parts = read_typed(Parts, document, str(path), "parts")
    except ManifestError as error:
        raise BundleCorruptError(f"{error}; copy it again") from error
    return parts


def _as_tar(folder: Path) -> bytes:
    """The files of a bundle as a tar that is the same whenever they are: no owner, no time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            member = tarfile.TarInfo(path.name)
            member.size = path.stat().st_size
            with path.open("rb") as file:
                tar.addfile(member, file)
    return buffer.getvalue()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
