"""What the model card of an encoder trained on packs says beside its manifest: data, training, figures, limits."""

from collections.abc import Iterator
from typing import Any

from training.packs import PackIndex
from training.toml_document import toml_document

METRICS = {"rank_1": "rank-1", "rank_5": "rank-5", "mAP": "mAP"}


def encoder_sections(index: PackIndex, document: dict[str, Any]) -> str:
    """Sections for the card, Markdown.

    Args:
        index: of the packs.
        document: what `training.figures.measure_run` gave.
    """
    return "\n".join([*_data(index), *_training(document), *_measured(document), *_limits(document)])


def _data(index: PackIndex) -> Iterator[str]:
    read = "read by training" if index.labelled else "not read, and not in the training packs"
    yield "## Data"
    yield ""
    yield f"Short side at most {index.short_side} pixels, WebP quality {index.quality}."
    yield f"Labels of the training pictures: {read}."
    yield ""
    yield "| set | pictures trained on | test pictures |"
    yield "|---|---|---|"
    for each in index.sets:
        yield f"| {each.name} | {each.num_train} | {each.num_test or 'none'} |"
    yield ""


def _training(document: dict[str, Any]) -> Iterator[str]:
    recipe, training, checkpoint = document["recipe"], document["training"], document["checkpoint"]
    yield "## Training"
    yield ""
    yield (
        f"{recipe['epochs']} epochs, {checkpoint['step']} steps of {recipe['batch_size']} pictures, "
        f"{document['seconds'] / 60:.1f} minutes on {', '.join(training.get('devices', [])) or 'a device not noted'}, "
        f"seed {recipe['seed']} (one run), from {_beginning(recipe, training)}."
    )
    if fitted := training.get("fitted"):
        yield f"The epochs were chosen to fit {fitted['minutes']:g} minutes at {fitted['step_s']:.3f} s a step."
    earlier = training.get("earlier", [])
    if earlier and not any(_reads_labels(each) for each in (recipe, *(stage["recipe"] for stage in earlier))):
        yield "No stage read a label."
    yield ""
    yield from _recipe("The recipe, in full:", recipe)
    for number, stage in enumerate(earlier, start=1):
        first = f", from {_beginning(stage['recipe'], {})}" if number == 1 else ""
        yield from _recipe(f"Stage {number} before it, {stage_summary(stage)}{first}:", stage["recipe"])


def stage_summary(stage: dict[str, Any]) -> str:
    """An earlier stage (`training.earlier_stages`) in a few words."""
    recipe = stage["recipe"]
    kind = "labelled" if _reads_labels(recipe) else "unlabelled"
    of_sets = f" of {', '.join(stage['sets'])}" if stage["sets"] else ""
    return (
        f"{recipe['epochs']} epoch{'s' * (recipe['epochs'] != 1)} of {stage['num_pictures']} {kind} pictures{of_sets} "
        f"({stage['seconds'] / 60:.1f} minutes)"
    )


def _reads_labels(recipe: dict[str, Any]) -> bool:
    return bool(recipe.get("supervision", "none") != "none" or recipe.get("holdout", 0) > 0)


def _beginning(recipe: dict[str, Any], training: dict[str, Any]) -> str:
    """What the weights were before the first step."""
    if earlier := training.get("earlier", []):
        return f"the end of {'an earlier stage' if len(earlier) == 1 else f'{len(earlier)} earlier stages'} (below)"
    if recipe["init"]:
        return f"the weights {recipe['init']}"
    if recipe["stem_init"] == "pca":
        return "random initial weights and a stem made from statistics of the training pictures"
    return "random initial weights"


def _recipe(title: str, recipe: dict[str, Any]) -> Iterator[str]:
    yield title
    yield ""
    yield "```toml"
    yield toml_document(recipe).rstrip()
    yield "```"
    yield ""


def _measured(document: dict[str, Any]) -> Iterator[str]:
    yield "## Measured"
    yield ""
    if not document["sets"]:
        yield "Nothing: no set has test pictures."
        yield ""
        return
    yield "On test pictures that were not trained on, by cosine; 95 % bootstrap intervals over the queries."
    yield ""
    yield f"| set | method | {' | '.join(METRICS.values())} | queries |"
    yield "|---|---|---|---|---|---|"
    for name, measured in document["sets"].items():
        for method, figures in measured["methods"].items():
            cells = (
                f"{one['value']:.3f} ({one['low']:.3f}-{one['high']:.3f})"
                for one in (figures[metric] for metric in METRICS)
            )
            shown = "this encoder" if method == "encoder" else method
            yield f"| {name} ({measured['protocol']}) | {shown} | {' | '.join(cells)} | {measured['num_queries']} |"
    yield ""


def _limits(document: dict[str, Any]) -> Iterator[str]:
    lower = [
        f"{name} ({METRICS[metric]})"
        for name, measured in document["sets"].items()
        for metric in METRICS
        if measured["methods"]["encoder"][metric]["value"] <= measured["methods"]["colour histogram"][metric]["value"]
    ]
    yield "## Limits"
    yield ""
    if document["sets"]:
        yield (
            "- Not above the colour histogram on: " + ", ".join(lower) + "."
            if lower
            else "- Above the colour histogram on every set that it was measured on."
        )
    checkpoint = document["checkpoint"]
    if checkpoint["step"] < checkpoint["num_steps"] and checkpoint["file"] != "best.safetensors":
        yield f"- Training was not finished: {checkpoint['step']} of {checkpoint['num_steps']} steps."
    yield "- It has seen the pictures above and no others; what it does on other subjects has not been measured."
    yield "- The intervals say how far other test pictures would move a figure, not how far another seed would."
    yield "- The pictures belong to their owners; the terms of each set bind whoever uses weights trained on it."
