"""A bundle: the folder with an encoder's ONNX files and its manifest. Appears by rename, is checked when opened."""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from encoder.errors import BundleCorruptError, BundleError, BundleNotFoundError
from encoder.manifest import GOLDEN_NAME, MANIFEST_NAME, Manifest, Variant, id_of, load_manifest, save_manifest
from encoder.own_folder import is_foreign, replace_folder
from encoder.shell_words import path_word


class Bundle:
    """An encoder on disk.

    Attributes:
        path: the folder.
        manifest: what it says of itself.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest

    @classmethod
    def open(cls, path: Path | str, *, verify: bool = True) -> "Bundle":
        """Read a bundle's manifest and, unless told otherwise, hash its files.

        Raises:
            BundleNotFoundError: there is no bundle at `path`.
            ManifestError: its manifest is not as expected.
            BundleCorruptError: a file is missing or is not the one the manifest describes.
        """
        path = Path(path)
        try:
            path.stat()
        except FileNotFoundError as error:
            raise BundleNotFoundError(
                f"bundle {path} does not exist; `lodisc export RUN --out {path_word(path)}` writes one, and the "
                "project's own are in the folder bundles/ of its checkout"
            ) from error
        except (OSError, ValueError) as error:  # too long, below a file, a null byte, no permission
            raise BundleNotFoundError(f"bundle {str(path)!r} cannot be opened: {error}") from error
        bundle = cls(path, load_manifest(path))
        if verify:
            bundle.verify()
        return bundle

    def variant(self, name: str = "fp32") -> Variant:
        """One of its variants.

        Raises:
            BundleNotFoundError: the bundle has no such variant.
        """
        if name not in self.manifest.variants:
            raise BundleNotFoundError(
                f"bundle {self.path} has no variant {name!r}; it has {', '.join(sorted(self.manifest.variants))}"
            )
        return self.manifest.variants[name]

    def comparable(self, one: str, other: str) -> bool:
        """Whether embeddings of two variants may be compared: both see the same patches. Precision moves them little.

        Raises:
            BundleNotFoundError: the bundle has no such variant.
        """
        return self.variant(one).pruning == self.variant(other).pruning

    def verify(self) -> None:
        """Hash every file and the id.

        Raises:
            BundleCorruptError: something is not as the manifest says; the message names it.
        """
        expected = {
            name: sha256 for variant in self.manifest.variants.values() for name, sha256 in variant.sha256.items()
        }
        if self.manifest.golden_sha256 is not None:
            expected[GOLDEN_NAME] = self.manifest.golden_sha256
        for name, sha256 in expected.items():
            path = self.path / name
            try:
                found = sha256_of(path)
            except OSError as error:
                raise BundleCorruptError(f"{path} cannot be read ({error}); export the bundle again") from error
            if found != sha256:
                raise BundleCorruptError(
                    f"{path} has sha256 {found[:16]}..., its manifest says {sha256[:16]}...; "
                    "the file was changed or cut short: copy or export the bundle again"
                )
        if self.manifest.id != (found_id := id_of(self.manifest)):
            raise BundleCorruptError(
                f"{self.path}: the manifest's id is {self.manifest.id}, its weights and preprocessing give {found_id}; "
                "it was edited by hand: export the bundle again"
            )


def write_bundle(
    path: Path, manifest: Manifest, files: Mapping[str, bytes | Path], *, overwrite: bool = False
) -> Bundle:
    """Write a bundle aside, check it, and rename it into place, so that it is there whole or not at all.

    Raises:
        BundleError: something is already there and `overwrite` was not said, or it cannot be written, or `files` are
            not those of the manifest; what was there before stays.
    """
    require_free(path, overwrite=overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            fresh = Path(folder) / "new"
            fresh.mkdir()
            for name, content in files.items():
                if isinstance(content, Path):
                    shutil.copyfile(content, fresh / name)
                else:
                    (fresh / name).write_bytes(content)
            save_manifest(manifest, fresh)
            Bundle(fresh, manifest).verify()
            replace_folder(path, fresh)
    except OSError as error:
        raise BundleError(f"bundle {path} cannot be written: {error}") from error
    return Bundle(path, manifest)


def require_free(path: Path, *, overwrite: bool, marker: str = MANIFEST_NAME) -> None:
    """Look before the work begins.

    Args:
        path: where something is to be written.
        overwrite: whether what is there may be replaced.
        marker: the file that what may be replaced holds.

    Raises:
        BundleError: something is already there and `overwrite` was not said, or it is something else.
    """
    if path.exists() and not overwrite:
        raise BundleError(f"{path} already exists; choose another --out, or say --overwrite")
    if is_foreign(path, marker):
        raise BundleError(f"{path} holds no {marker}, so it is not replaced; choose another --out, or move it away")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
