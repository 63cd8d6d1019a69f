"""Manifests of earlier formats, brought up to the present one, so that bundles and catalogues made then still open."""

from typing import Any


def from_version_1(document: dict[str, Any]) -> dict[str, Any]:
    """A manifest of the first format as one of this: one graph a variant, weights inside. What is wrong stays so."""
    variants = document.get("variants")
    outputs = document.get("outputs")
    if isinstance(variants, dict):
        variants = {name: _variant_from_version_1(variant, outputs) for name, variant in variants.items()}
    return {
        **document,
        "format_version": 2,
        "variants": variants,
        "token_dim": None,
        "golden_sha256": None,
        "source": "a run of lodisc train",
    }


def _variant_from_version_1(variant: Any, outputs: Any) -> Any:
    if not isinstance(variant, dict) or not isinstance(variant.get("file"), str):
        return variant
    rest = {name: value for name, value in variant.items() if name not in ("file", "sha256")}
    return {
        **rest,
        "method": "as trained",
        "graphs": [{"file": variant["file"], "outputs": outputs}],
        "sha256": {variant["file"]: variant.get("sha256")},
        "pruning": None,
        "built_for": None,
    }
