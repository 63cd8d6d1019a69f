"""A training recipe: every number that decides what a run does, in one frozen dataclass.

Read from TOML, overridden by flags made from the same fields, saved beside every checkpoint. Where to read pictures
and where to write is not part of it: the same recipe on other pictures is the same recipe.
"""

import dataclasses
import difflib
import math
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encoder.errors import ConfigError
from training.feature import EXPECTED, feature_weights, is_feature
from training.layouts import LAYOUTS
from training.model import LOCAL_BRANCHES
from training.pivotal import num_pivotal
from training.supervision import reads_labels
from training.toml_document import toml_document
from training.vit import ENCODERS, POSITIONS, STEMS

RECIPES_DIR = Path(__file__).parent / "recipes"


def _field(default: Any, text: str) -> Any:
    """A dataclass field with the line that `lodisc train --help` shows for it."""
    return dataclasses.field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a training run; the defaults are the `paper` preset (lodisc-method, arXiv:2403.04066)."""

    encoder: str = _field("base", f"size of the ViT: {', '.join(ENCODERS)}")
    init: str = _field(
        "", "initial weights: a run of lodisc train, a file, an https:// address, or timm:NAME; none if empty"
    )
    image_size: int = _field(224, "side of a view in pixels")
    image_size_start: int = _field(
        0,
        "side of a view at the first step; rises to image_size by a patch at a time over three quarters of the run. "
        "0: image_size throughout",
    )
    patch_size: int = _field(16, "side of a patch in pixels")
    stem: str = _field(
        "patch", "how a patch becomes a token: patch (one projection) or conv (strided 3 x 3 convolutions)"
    )
    stem_init: str = _field(
        "random",
        "filters of the stem at the start: random, or pca (needs stem conv): from statistics of the training pictures",
    )
    residual_scale: float = _field(
        1.0,
        "without init: what each block adds to its tokens at the start is multiplied by this: below 1 begins near the "
        "stem",
    )
    positions: str = _field("sincos", "positions: sincos (added, then trained) or rope (rotary, as DINOv3)")
    num_registers: int = _field(0, "register tokens (DINOv2 with registers and DINOv3 have 4)")
    num_heads: int = _field(0, "attention heads; 0 for as many as the size has (MoCo v3's ViT-S has 12)")

    local: str = _field("zero", f"local branch: {', '.join(LOCAL_BRANCHES)}")
    keep_ratio: float = _field(0.30, "share of the patches kept as pivotal, in (0, 1)")
    keep_ratio_start: float = _field(
        0.0,
        "share kept at the first step; falls to keep_ratio in a line over the first half of the run. 0: keep_ratio "
        "throughout",
    )
    temperature: float = _field(0.2, "softmax temperature T of the contrastive loss")
    momentum: float = _field(0.99, "m of the momentum encoder at the start; rises to 1 by cosine")
    momentum_updates: int = _field(
        1, "moves of the momentum encoder a step; 4 as in the published code: keys, masks, local keys, logging"
    )
    projector: str = _field("mlp", "projector: mlp (3 layers, BN) or none (keys are the raw CLS features)")
    predictor_dropout: float = _field(0.0, "share of the predictor's hidden units dropped")
    supervision: str = _field(
        "none", "none: the loss reads no label; labels: pictures of one label are positives of each other"
    )
    rank_weights: tuple[float, ...] = _field(
        (1.0,), "with supervision labels: weight of each rank of the labels in the loss, finest first"
    )
    pictures_per_label: int = _field(
        1, "with supervision labels: pictures of one label that come into a batch together; 1: as the shuffling has it"
    )
    hidden_dim: int = _field(4096, "hidden units of projector and predictor")
    projection_dim: int = _field(256, "dimension of the contrastive space")

    epochs: int = _field(100, "passes over the pictures")
    batch_size: int = _field(256, "pairs of views a step, over all processes: one of each picture, unless repeats > 1")
    repeats: int = _field(
        1,
        "pairs of views that each picture gives in one step, which then takes batch_size / repeats pictures and an "
        "epoch so many more steps; views of one picture are no negatives of each other",
    )
    micro_batch: int = _field(
        0,
        "views that go through the base encoder at once, to fit a large batch into memory; each slice is computed "
        "twice, the loss and the gradient are exactly those of the whole batch. 0: all at once",
    )
    lr: float = _field(1.5e-4, "learning rate for a batch of 256; scaled by batch_size / 256")
    weight_decay: float = _field(0.1, "of AdamW")
    warmup: float = _field(0.1, "share of the steps in which the learning rate rises from 0")
    seed: int = _field(0, "of the initial weights, the order of the pictures and the augmentation")
    precision: str = _field(
        "fp32", "fp32; bf16 for automatic mixed precision; auto for bf16 where the device computes it natively"
    )

    layout: str = _field("folder", f"how the picture folder is laid out: {', '.join(LAYOUTS)}")
    holdout: float = _field(
        0.0,
        "share of the labelled pictures kept out of training, to measure retrieval on and to choose the best "
        "checkpoint by; 0: none are kept out, and labels are read for supervision alone",
    )

    crop_min: float = _field(0.08, "smallest area of a random crop, as a share of the picture")
    crop_max: float = _field(1.0, "largest area of a random crop")
    num_small_crops: int = _field(
        0, "small crops of each picture beside the two views, as further queries to both views' keys (multi-crop)"
    )
    small_crop_size: int = _field(96, "side of a small crop in pixels, a multiple of patch_size")
    small_crop_area: tuple[float, float] = _field(
        (0.05, 0.35), "smallest and largest area of a small crop, as a share of the picture"
    )
    rotation_deg: float = _field(0.0, "views are turned by up to this many degrees either way")
    jitter: tuple[float, float, float, float] = _field(
        (0.4, 0.4, 0.2, 0.1), "brightness, contrast, saturation, hue of the colour jitter"
    )
    jitter_prob: float = _field(0.8, "share of the views with colour jitter")
    greyscale_prob: float = _field(0.2, "share of the views turned grey")
    flip_prob: float = _field(0.5, "share of the views mirrored left to right")
    blur_prob: tuple[float, float] = _field((1.0, 0.1), "share of blurred views: view 1, view 2")
    solarise_prob: tuple[float, float] = _field((0.0, 0.2), "share of solarised views: view 1, view 2")

    feature: str = _field(
        "cls",
        "which feature becomes the embedding at export: cls, mean (of the patches), projector, predictor, or "
        "several joined by +, weighted where wanted (cls+0.5*mean)",
    )
    whitening: float = _field(
        0.0,
        "0 to 1: the embedding's mean is taken away and its principal directions are divided by their spread to this "
        "power, learnt from the training pictures without labels; 0 leaves the feature as it is",
    )

    def __post_init__(self) -> None:
        """Check each range; ConfigError names the field, what it is and what it must be."""
        for name, value in vars(self).items():
            _require(not isinstance(value, float) or math.isfinite(value), name, value, "a finite number")
        _require(self.encoder in ENCODERS, "encoder", self.encoder, f"one of {', '.join(ENCODERS)}")
        _require(self.local in LOCAL_BRANCHES, "local", self.local, f"one of {', '.join(LOCAL_BRANCHES)}")
        _require(self.stem in STEMS, "stem", self.stem, f"one of {', '.join(STEMS)}")
        _require(
            self.stem == "patch" or self.patch_size.bit_count() == 1,
            "patch_size", self.patch_size, "a power of two with stem conv",
        )  # fmt: skip
        _require(self.stem_init in STEM_INITS, "stem_init", self.stem_init, f"one of {', '.join(STEM_INITS)}")
        _require(
            self.stem_init == "random" or (self.stem == "conv" and not self.init),
            "stem_init", self.stem_init, "random, unless stem is conv and init is empty",
        )  # fmt: skip
        _require(is_feature(self.feature), "feature", self.feature, EXPECTED)
        _require(self.layout in LAYOUTS, "layout", self.layout, f"one of {', '.join(LAYOUTS)}")
        _require(self.positions in POSITIONS, "positions", self.positions, f"one of {', '.join(POSITIONS)}")
        _require(self.projector in PROJECTORS, "projector", self.projector, f"one of {', '.join(PROJECTORS)}")
        _require(
            self.projector == "mlp" or "projector" not in feature_weights(self.feature),
            "feature", self.feature, "without projector, since projector is none",
        )  # fmt: skip
        width = ENCODERS[self.encoder][0]
        heads = self.num_heads or ENCODERS[self.encoder][2]
        _require(heads > 0 and width % heads == 0, "num_heads", self.num_heads, f"a divisor of the width {width}")
        _require(
            self.positions == "sincos" or width // heads % 4 == 0, "num_heads", self.num_heads,
            f"so that each head is a multiple of 4 wide with positions rope (the width is {width})",
        )  # fmt: skip
        _require(self.precision in PRECISIONS, "precision", self.precision, f"one of {', '.join(PRECISIONS)}")
        for name in ("num_registers", "micro_batch", "num_small_crops"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        for name in (
            "image_size",
            "patch_size",
            "hidden_dim",
            "projection_dim",
            "epochs",
            "momentum_updates",
            "repeats",
        ):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        _require(
            self.image_size % self.patch_size == 0,
            "image_size",
            self.image_size,
            f"a multiple of patch_size {self.patch_size}",
        )
        _require(self.batch_size >= 2, "batch_size", self.batch_size, "at least 2: a batch has to hold a negative")
        self._check_supervision()
        _require(0 < self.keep_ratio < 1, "keep_ratio", self.keep_ratio, "in (0, 1)")
        _require(
            self.image_size_start % self.patch_size == 0 and 0 <= self.image_size_start <= self.image_size,
            "image_size_start", self.image_size_start,
            f"0, or a multiple of patch_size {self.patch_size} up to image_size {self.image_size}",
        )  # fmt: skip
        smallest_view = self.image_size_start or self.image_size
        num_patches = (smallest_view // self.patch_size) ** 2
        _require(
            num_pivotal(num_patches, self.keep_ratio) >= 1,
            "keep_ratio", self.keep_ratio, f"large enough to keep one of the {num_patches} patches",
        )  # fmt: skip
        _require(
            self.keep_ratio_start == 0 or self.keep_ratio <= self.keep_ratio_start < 1,
            "keep_ratio_start", self.keep_ratio_start, f"0, or in [keep_ratio {self.keep_ratio}, 1)",
        )  # fmt: skip
        _require(
            self.batch_size % self.repeats == 0 and self.pictures_per_step >= 2,
            "repeats", self.repeats, f"a divisor of batch_size {self.batch_size} that leaves 2 pictures a step",
        )  # fmt: skip
        _require(
            self.num_small_crops == 0
            or (self.small_crop_size % self.patch_size == 0 and 0 < self.small_crop_size <= smallest_view),
            "small_crop_size", self.small_crop_size,
            f"a multiple of patch_size {self.patch_size} up to the smallest view, {smallest_view}",
        )  # fmt: skip
        _require(
            0 < self.small_crop_area[0] <= self.small_crop_area[1] <= 1,
            "small_crop_area", self.small_crop_area, "two shares in (0, 1], the smaller first",
        )  # fmt: skip
        for name in ("temperature", "lr"):
            _require(getattr(self, name) > 0, name, getattr(self, name), "above 0")
        _require(
            0 < self.crop_min <= self.crop_max <= 1,
            "crop_min",
            self.crop_min,
            "in (0, crop_max], crop_max <= 1",
        )
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "at least 0")
        _require(0 <= self.rotation_deg <= 180, "rotation_deg", self.rotation_deg, "in [0, 180]")
        _require(self.jitter[3] <= 0.5 and min(self.jitter) >= 0, "jitter", self.jitter, "at least 0, hue <= 0.5")
        _require(0 <= self.warmup < 1, "warmup", self.warmup, "in [0, 1): a share of the steps, not epochs")
        for name in ("predictor_dropout", "holdout"):
            _require(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")
        for name in ("momentum", "whitening", "residual_scale", "jitter_prob", "greyscale_prob", "flip_prob"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")
        for name in ("blur_prob", "solarise_prob"):
            _require(all(0 <= share <= 1 for share in getattr(self, name)), name, getattr(self, name), "in [0, 1]")

    @property
    def pictures_per_step(self) -> int:
        """Pictures that a step takes, over all processes."""
        return self.batch_size // self.repeats

    def trains_as(self, other: "Recipe") -> bool:
        """Whether runs of both are the same: at most a `residual_scale` differs, which `init` leaves nothing of."""
        return self == (dataclasses.replace(other, residual_scale=self.residual_scale) if self.init else other)

    @property
    def reads_labels(self) -> bool:
        """Whether a run looks at the labels of training pictures: to learn from, or to choose by."""
        return reads_labels({"supervision": self.supervision, "holdout": self.holdout})

    def _check_supervision(self) -> None:
        weights, group = self.rank_weights, self.pictures_per_label
        _require(self.supervision in SUPERVISIONS, "supervision", self.supervision, f"one of {', '.join(SUPERVISIONS)}")
        _require(
            all(0 <= weight < math.inf for weight in weights) and sum(weights) > 0,
            "rank_weights", weights, "one number or more, each at least 0 and one of them above",
        )  # fmt: skip
        _require(group >= 1, "pictures_per_label", group, "at least 1")
        if self.supervision == "none":
            _require(weights == (1.0,), "rank_weights", weights, "(1.0,), unless supervision is labels")
            _require(group == 1, "pictures_per_label", group, "1, unless supervision is labels")
        rows = group * self.repeats
        _require(
            group == 1 or (self.batch_size % rows == 0 and self.batch_size > rows),
            "batch_size", self.batch_size,
            f"2 or more times pictures_per_label {group}, a multiple of it" + ", times repeats" * (self.repeats > 1),
        )  # fmt: skip


STEM_INITS = ("random", "pca")
PRECISIONS = ("fp32", "bf16", "auto")
PROJECTORS = ("mlp", "none")
SUPERVISIONS = ("none", "labels")


def _require(ok: bool, name: str, found: object, expected: str) -> None:
    if not ok:
        raise ConfigError(f"recipe field {name} is {found!r}, expected {expected}")


def load_recipe(path_or_name: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe file, or a recipe of the project by its name, and apply overrides.

    Raises:
        ConfigError: the file is missing or no TOML, a key is not a recipe field, or a value has the wrong type or
            range.
    """
    path = Path(path_or_name)
    if not path.suffix and not path.exists():
        path = RECIPES_DIR / f"{path_or_name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in RECIPES_DIR.glob("*.toml")))
        raise ConfigError(f"recipe {path_or_name} not found; give a .toml file or one of: {known}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe {path} is not valid TOML: {error}") from error
    return recipe_from_values({**values, **(overrides or {})}, str(path))


def recipe_from_values(values: Mapping[str, Any], origin: str) -> Recipe:
    """Build a recipe from plain values, refusing unknown keys and wrong types; `origin` is named in the error."""
    types = typing.get_type_hints(Recipe)
    unknown = sorted(set(values) - set(types))
    if unknown:
        near = difflib.get_close_matches(unknown[0], types, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"{origin}: unknown recipe field {', '.join(unknown)}; {hint}the fields are {', '.join(types)}"
        )
    return Recipe(**{name: _convert(name, value, types[name], origin) for name, value in values.items()})


def _convert(name: str, value: Any, wanted: Any, origin: str) -> Any:
    """Turn a TOML or JSON value into the type of the field: ints pass as floats, lists as tuples."""
    parts = typing.get_args(wanted)
    if Ellipsis in parts:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{origin}: {name} is {value!r}, expected a list of numbers")
        return tuple(_convert(name, item, parts[0], origin) for item in value)
    if parts:
        if not isinstance(value, list | tuple) or len(value) != len(parts):
            raise ConfigError(f"{origin}: {name} is {value!r}, expected {len(parts)} numbers")
        return tuple(_convert(name, item, part, origin) for item, part in zip(value, parts, strict=True))
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise ConfigError(f"{origin}: {name} is {value!r}, expected {wanted.__name__}")
    return value


def recipe_values(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values that TOML and JSON can hold."""
    values = dataclasses.asdict(recipe)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write the resolved recipe as TOML, by rename: a full disk leaves the one that was there."""
    partial = path.with_suffix(".partial")
    try:
        partial.write_text(toml_document(recipe_values(recipe)), encoding="utf-8")
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    partial.replace(path)
