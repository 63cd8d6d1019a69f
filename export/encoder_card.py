"""What the model card of an encoder trained on packs says beside its manifest: data, training, figures, limits."""

from collections.abc import Iterator
from typing import Any

from training.packs import PackIndex
from training.supervision import reads_labels
from training.toml_document import toml_document

METRICS = {"rank_1": "rank-1", "rank_5": "rank-5", "mAP": "mAP"}


def encoder_sections(index: PackIndex, document: dict[str, Any], note: str = "") -> str:
    """Sections for the card, Markdown.

    Args:
        index: of the packs.
        document: what `training.figures.measure_run` gave.
        note: what else is to be said of the training.
    """
    measured = _measured(document, index.num_trained_too)
    return "\n".join([*_data(index, document["recipe"]), *_training(document, note), *measured, *_limits(document)])


def _data(index: PackIndex, recipe: dict[str, Any]) -> Iterator[str]:
    unread = "in the training packs, not read" if index.labelled else "not read, and not in the training packs"
    read = "read by training" if reads_labels(recipe) else unread
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


def _training(document: dict[str, Any], note: str) -> Iterator[str]:
    recipe, training, run = document["recipe"], document["training"], document["run"]
    yield "## Training"
    yield ""
    yield (
        f"{run['epochs']:.3g} epochs, {run['step']} steps of {recipe['batch_size']} pictures, "
        f"{document['seconds'] / 60:.1f} minutes on {', '.join(training.get('devices', [])) or 'a device not noted'}, "
        f"seed {recipe['seed']} (one run), from {_beginning(recipe, training)}."
    )
    if recipe["holdout"] > 0:
        yield (
            f"{document['num_pictures']} pictures were trained on; the others were held out, and by their labels the "
            f"checkpoint of step {document['checkpoint']['step']} was chosen."
        )
    if fitted := training.get("fitted"):
        yield f"The epochs were chosen to fit {fitted['minutes']:g} minutes at {fitted['step_s']:.3f} s a step."
    earlier = training.get("earlier", [])
    if note:
        yield note
    yield ""
    yield from _recipe("The recipe, in full:", recipe)
    for number, stage in enumerate(earlier, start=1):
        first = f", from {_beginning(stage['recipe'], {})}" if number == 1 else ""
        yield from _recipe(f"Stage {number} before it, {stage_summary(stage)}{first}:", stage["recipe"])


def stage_summary(stage: dict[str, Any]) -> str:
    """An earlier stage (`training.earlier_stages`) in a few words."""
    recipe = stage["recipe"]
    kind = "labelled" if reads_labels(recipe) else "unlabelled"
    of_sets = f" of {', '.join(stage['sets'])}" if stage["sets"] else ""
    epochs = f"{stage['epochs']:.3g} epoch{'s' * (stage['epochs'] != 1)}"
    return f"{epochs} of {stage['num_pictures']} {kind} pictures{of_sets} ({stage['seconds'] / 60:.1f} minutes)"


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


def _measured(document: dict[str, Any], num_trained_too: int | None) -> Iterator[str]:
    yield "## Measured"
    yield ""
    if not document["sets"]:
        yield "Nothing: no set has test pictures."
        yield ""
        return
    yield f"On test pictures{_not_trained_on(document, num_trained_too)}, by cosine; 95 % bootstrap intervals over the"
    yield "queries. *untrained* has random weights, and neither a learnt stem nor a whitening."
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


def _not_trained_on(document: dict[str, Any], num_trained_too: int | None) -> str:
    """What is known of that: the packs of this stage tell, those of earlier stages are not here."""
    if num_trained_too is None:
        return ""
    stage = " in this stage" if document["training"].get("earlier") else ""
    if num_trained_too:
        return f", of which {num_trained_too} were trained on too{stage}"
    return f" that were not trained on{stage}"


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
    for name, reason in document["not_measured"].items():
        yield f"- Not measured on {name}: {reason}."
    run = document["run"]
    if run["step"] < run["num_steps"]:
        yield f"- Training was not finished: {run['step']} of {run['num_steps']} steps."
    first = (document["training"].get("earlier") or [document])[0]
    if first["recipe"]["init"]:
        yield "- What its initial weights were trained on is not known here."
    else:
        yield "- It has seen the pictures named above and no others."
    yield "- What it does on other subjects has not been measured."
    yield "- The intervals say how far other test pictures would move a figure, not how far another seed would."
    yield "- The pictures belong to their owners; the terms of each set bind whoever uses weights trained on it."
