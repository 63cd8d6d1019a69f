"""Bundles in BentoML's model store, where a bentofile.yaml can pin one by its tag."""

import shutil
from pathlib import Path

import bentoml
from bentoml.exceptions import BentoMLException

from encoder.bundle import Bundle
from encoder.errors import BundleError, BundleNotFoundError

# What stands before a tag where a folder could stand too, as in LODISC_BUNDLE=bentoml:demo:9cf9756149ead9e1.
PREFIX = "bentoml:"


def register(bundle: Bundle, name: str | None = None) -> str:
    """Copy a bundle into the store; its version there is its id, so that the same bundle is stored once.

    Args:
        bundle: verified.
        name: in the store; the bundle's name if None.

    Returns:
        The tag, NAME:ID.

    Raises:
        BundleError: the store refuses it.
    """
    tag = f"{(name or bundle.manifest.name).lower()}:{bundle.manifest.id}"
    try:
        if any(str(model.tag) == tag for model in bentoml.models.list()):
            return tag
        labels = {"licence": bundle.manifest.licence, "domain": bundle.manifest.domain}
        with bentoml.models.create(tag, metadata=labels) as model:
            for path in bundle.path.iterdir():
                if path.is_file():
                    shutil.copyfile(path, model.path_of(path.name))
    except (BentoMLException, ValueError, OSError) as error:
        raise BundleError(f"bundle {bundle.path} cannot be registered as {tag}: {error}") from error
    return tag


def find(tag: str) -> Path:
    """The folder of a registered bundle, by its tag without the prefix.

    Raises:
        BundleNotFoundError: the store has none of that tag.
    """
    try:
        return Path(bentoml.models.get(tag).path)
    except (BentoMLException, ValueError) as error:
        raise BundleNotFoundError(
            f"BentoML's model store has no bundle {tag}; `lodisc bundle register BUNDLE` puts one there ({error})"
        ) from error
