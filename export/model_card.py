"""README.md of a bundle: its manifest as a page for people."""

from collections.abc import Iterator

from encoder.manifest import Manifest, Variant

CARD_NAME = "README.md"


def model_card(manifest: Manifest, sections: str = "", labels: str = "") -> str:
    """The page, Markdown.

    Args:
        manifest: of the bundle.
        sections: Markdown that tells of the figures and more, in place of the manifest's list of figures.
        labels: what is known of the labels that training read.
    """
    return "\n".join(_lines(manifest, sections, labels)) + "\n"


def _lines(manifest: Manifest, sections: str, labels: str) -> Iterator[str]:
    preprocessing = manifest.preprocessing
    yield f"# {manifest.name}"
    yield ""
    yield f"An image encoder (bundle {manifest.id}): a picture becomes a vector of {manifest.embedding_dim} numbers,"
    yield "and pictures of the same thing become vectors near each other."
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| knows | {manifest.domain} |"
    yield f"| trained on | {manifest.trained_on} |"
    if labels:
        yield f"| labels | {labels} |"
    yield f"| weights | {manifest.source} |"
    yield f"| licence of the weights | {manifest.licence} |"
    yield f"| embedding | {manifest.feature}, {manifest.embedding_dim} dimensions, length 1 |"
    yield f"| patches | {_patches(manifest)} |"
    yield f"| input | {_input(manifest)} |"
    yield f"| mean, std | {_numbers(preprocessing.mean)}; {_numbers(preprocessing.std)} (inside the graph) |"
    versions = ", ".join(f"{name} {version}" for name, version in manifest.created_with.items())
    yield f"| made with | {versions} |"
    yield ""
    yield "## Variants"
    yield ""
    yield "Each was compared with the network in torch on pictures of every format; those that change the answers also"
    yield "by what they find, leave one out."
    yield ""
    yield "| variant | how it was made | least cosine with torch | rank-1 (fp32's) | mAP (fp32's) |"
    yield "|---|---|---|---|---|"
    for name, variant in manifest.variants.items():
        yield _variant_row(name, variant)
    if sections:
        yield ""
        yield sections
    elif manifest.figures:
        yield ""
        yield "## Measured"
        yield ""
        yield "| figure | value |"
        yield "|---|---|"
        for name, value in manifest.figures.items():
            yield f"| {name} | {value:.4g} |"
    yield ""
    yield "## Use"
    yield ""
    yield "```sh"
    yield "lodisc bundle verify BUNDLE                                  # files, hashes, and the answers to golden.json"
    yield "lodisc index build CATALOGUE --images PICTURES --bundle BUNDLE"
    yield "```"
    yield ""
    yield "Pictures of other things than it knows may find little of use: measure on some of yours with"
    yield "`lodisc evaluate BUNDLE --data PICTURES`."


def _patches(manifest: Manifest) -> str:
    if manifest.patch_grid is None:
        return "none"
    rows, columns = manifest.patch_grid
    scored = (
        "scored by what CLS attends to"
        if "attention" in manifest.outputs
        else "no CLS token, so they are scored by the norms of their features"
        if "tokens" in manifest.outputs
        else "not scored"
    )
    return f"{rows} x {columns}, {scored}"


def _input(manifest: Manifest) -> str:
    preprocessing = manifest.preprocessing
    side = preprocessing.image_size
    shape = (
        "squeezed into a square"
        if preprocessing.resize == "stretch"
        else "the shortest side resized, the middle square"
    )
    crop = "" if preprocessing.crop_fraction == 1 else f", {preprocessing.crop_fraction:.3g} of it"
    return f"{side} x {side} RGB, {shape}{crop}, {preprocessing.interpolation} with antialiasing"


def _variant_row(name: str, variant: Variant) -> str:
    parity = variant.parity
    cosine = f"{parity['min_cosine']:.6f}" if "min_cosine" in parity else "-"
    rank_1, mean_ap = (
        f"{parity[key]:.3f} ({parity[f'{key}_fp32']:.3f})" if parity.get("num_queries") else "-"
        for key in ("rank_1", "mAP")
    )
    built_for = f", for {variant.built_for.gpu}" if variant.built_for else ""
    return f"| {name} | {variant.method}{built_for} | {cosine} | {rank_1} | {mean_ap} |"


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
