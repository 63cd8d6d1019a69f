"""Any ViT-like model of timm: its own forward, pooled as its authors pool it, its own preprocessing.

Patch scores where there is a CLS token and layers of attention; a model without gives patch features alone, or, if it
has no patches, the embedding alone. Not covered: models that are fed anything but a square of three channels.
"""

# B batch, S side in pixels, H heads, T tokens, P patches, D width.

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data.config import resolve_model_data_config
from torch import Tensor, nn
from torch.nn import functional

from encoder.errors import ConfigError
from encoder.manifest import INTERPOLATIONS, Preprocessing, Pruning
from export.network import Network
from training.pivotal import fuse_attention


def timm_network(name: str, weights: Path | None = None) -> Network:
    """A timm model as a network to export.

    Args:
        name: of the model in timm; or a folder, or a file in one, with the config.json of timm's hub beside weights.
        weights: a file of weights for it; if None, those of timm's hub or its cache.

    Raises:
        ConfigError: there is no such model or no such weights, they do not fit, or it takes other pictures than ours.
    """
    model, source = _load(name, weights)
    config = resolve_model_data_config(model)
    preprocessing = _preprocessing(config, name)
    reference = TimmGraph(model, preprocessing, ("embedding", "tokens", "attention"))
    outputs, grid, dims = _probe(reference, name)

    def make_graph(wanted: Sequence[str], _fused_attention: bool, pruning: Pruning | None) -> nn.Module:
        assert pruning is None, "depth is 0, so nobody may ask"
        return TimmGraph(model, preprocessing, wanted).eval()

    published = _published(model)
    return Network(
        reference=make_graph(("embedding", "attention") if "attention" in outputs else ("embedding",), False, None),
        make_graph=make_graph,
        outputs=outputs,
        preprocessing=preprocessing,
        embedding_dim=dims["embedding"],
        token_dim=dims.get("tokens"),
        patch_grid=grid,
        depth=0,
        source=source,
        feature=f"pooled as in timm ({getattr(model, 'global_pool', None) or 'its own head'})",
        licence=published.get("license") or "not stated",
        trained_on=f"not stated here: published weights{_by(published)}",
        domain="not stated",
        recipe={"timm": str(published.get("architecture") or name)},
    )


def _load(name: str, weights: Path | None) -> tuple[nn.Module, str]:
    """The model with its weights, in eval mode, and where they came from."""
    overlay: dict[str, Any] = {}
    path = Path(name)
    if path.exists():
        if weights is not None:
            raise ConfigError(f"{name} brings its own weights; leave out --weights, or give the model's name in timm")
        name, overlay, weights = _from_folder(path)
    if weights is not None:
        if not weights.is_file():
            raise ConfigError(f"weights {weights} do not exist; give a .safetensors or .pth file")
        overlay["file"] = str(weights)
    if not timm.is_model(name.split(".")[0]):
        near = timm.list_models(f"*{name.split('.')[0][:8]}*")[:4]
        hint = f"near it are {', '.join(near)}" if near else "timm.list_models() names them"
        raise ConfigError(f"timm has no model {name!r}, and there is no such folder; {hint}")
    try:
        model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0)
    except Exception as error:  # timm, its hub, safetensors and torch have no common type
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        where = weights if weights is not None else "timm's hub"
        mend = (
            "see whether they are of this model"
            if weights is not None
            else "without a network, give the file of weights with --weights FILE"
        )
        raise ConfigError(f"the weights of {name} could not be had from {where} ({reason}); {mend}") from error
    origin = weights.name if weights is not None else _published(model).get("hf_hub_id") or "timm's hub"
    return model.eval(), f"timm {name}, {origin}"


def _from_folder(path: Path) -> tuple[str, dict[str, Any], Path]:
    """Name, configuration and weights of a model as timm's hub lays it out: config.json beside the weights."""
    folder = path if path.is_dir() else path.parent
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        architecture = str(config["architecture"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: there is no config.json of timm beside it that says of which model it is; "
            f"say it: --timm MODEL --weights {path}"
        ) from error
    files = [path] if path.is_file() else sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")])
    if not files:
        raise ConfigError(f"{folder} holds no file of weights (.safetensors)")
    return architecture, dict(config.get("pretrained_cfg") or {}), files[0]


def _published(model: nn.Module) -> dict[str, Any]:
    """What timm knows of the weights: licence, origin, hub."""
    configuration: Any = model.pretrained_cfg
    return dict(configuration)


def _by(published: dict[str, Any]) -> str:
    origin = published.get("origin_url") or published.get("hf_hub_id")
    return f" of {origin}" if origin else ""


def _preprocessing(config: dict[str, Any], name: str) -> Preprocessing:
    channels, height, width = config["input_size"]
    rules = {"center": "shortest_side", "squash": "stretch"}
    faults = {
        f"takes {channels} x {height} x {width}, not a square of three channels": channels != 3 or height != width,
        f"crops by the rule {config['crop_mode']!r}": config["crop_mode"] not in rules,
        f"resizes by {config['interpolation']!r}": config["interpolation"] not in INTERPOLATIONS,
    }
    fault = next((text for text, wrong in faults.items() if wrong), None)
    if fault:
        raise ConfigError(f"timm model {name} {fault}, which no bundle can say")
    return Preprocessing(
        image_size=height,
        resize=rules[config["crop_mode"]],
        crop_fraction=float(config["crop_pct"]),
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def _probe(graph: "TimmGraph", name: str) -> tuple[tuple[str, ...], tuple[int, int] | None, dict[str, int]]:
    """What the model gives, its patch grid and widths, from one blank picture.

    Raises:
        ConfigError: it does not work like a timm model.
    """
    side = graph.preprocessing.image_size
    try:
        with torch.inference_mode():
            found = graph.compute(torch.zeros(1, side, side, 3, dtype=torch.uint8))
    except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError) as error:
        raise ConfigError(f"timm model {name} cannot be embedded with ({str(error).splitlines()[0]})") from error
    dims = {output: tensor.shape[-1] for output, tensor in found.items() if output != "attention"}
    if "tokens" not in found:
        return ("embedding",), None, dims
    outputs = ("embedding", "attention", "tokens") if "attention" in found else ("embedding", "tokens")
    return outputs, graph.grid_of(found["tokens"].shape[1]), dims


class TimmGraph(nn.Module):
    """Pixels to what was asked for, by timm's own model.

    Args:
        model: in eval mode, without its classifier.
        preprocessing: whose mean and std are applied here.
        outputs: what `forward` gives, of `encoder.manifest.OUTPUTS`.
    """

    mean_3: Tensor
    std_3: Tensor

    def __init__(self, model: nn.Module, preprocessing: Preprocessing, outputs: Sequence[str]) -> None:
        super().__init__()
        self.model, self.preprocessing, self.outputs = model, preprocessing, tuple(outputs)
        self.register_buffer("mean_3", torch.tensor(preprocessing.mean).view(3, 1, 1))
        self.register_buffer("std_3", torch.tensor(preprocessing.std).view(3, 1, 1))

    def forward(self, pixels_BSS3: Tensor) -> tuple[Tensor, ...]:
        """Map pixels uint8 (B, S, S, 3) to the outputs, in their order; as `ServingGraph` gives them."""
        found = self.compute(pixels_BSS3)
        return tuple(found[name] for name in self.outputs)

    def compute(self, pixels_BSS3: Tensor) -> dict[str, Tensor]:
        """What the model can give of the outputs that are wanted, by name."""
        normalised = (pixels_BSS3.permute(0, 3, 1, 2).float() / 255 - self.mean_3) / self.std_3
        model: Any = self.model
        with _cls_rows(self.model, "attention" in self.outputs) as rows_LBHT:
            features = model.forward_features(normalised)
        pooled_BD = model.forward_head(features, pre_logits=True)
        found = {"embedding": functional.normalize(pooled_BD.flatten(1), dim=1)}
        if "tokens" in self.outputs and (patches_BPD := self._patches(features)) is not None:
            found["tokens"] = patches_BPD
        if rows_LBHT:
            prefix = int(model.num_prefix_tokens)
            found["attention"] = fuse_attention(torch.stack([row.mean(1)[:, prefix:] for row in rows_LBHT])).softmax(1)
        return found

    def _patches(self, features: Tensor) -> Tensor | None:
        """The features of the patches, (B, P, D), row by row."""
        if features.ndim == 3:
            return features[:, int(getattr(self.model, "num_prefix_tokens", 0)) :]
        if features.ndim == 4:
            last = getattr(self.model, "output_fmt", "NCHW") == "NHWC"
            return features.flatten(1, 2) if last else features.flatten(2).transpose(1, 2)
        return None

    def grid_of(self, num_patches: int) -> tuple[int, int]:
        """Rows and columns of so many patches of a square picture."""
        side = round(num_patches**0.5)
        if side * side != num_patches:
            raise ConfigError(f"a timm model of {num_patches} patches, which are no square grid, cannot be exported")
        return side, side


class _cls_rows:  # noqa: N801 (a context manager, named like one)
    """Collects, while the model runs, what CLS attends to in each layer: (B, H, T) a layer.

    A timm layer that is told not to fuse its attention passes the softmax through `attn_drop`, where it can be seen.
    """

    def __init__(self, model: nn.Module, wanted: bool) -> None:
        blocks = getattr(model, "blocks", None)
        has_cls = getattr(model, "cls_token", None) is not None and int(getattr(model, "num_prefix_tokens", 0)) > 0
        self._layers = [getattr(block, "attn", None) for block in blocks] if wanted and has_cls and blocks else []
        if not all(hasattr(layer, "attn_drop") and hasattr(layer, "fused_attn") for layer in self._layers):
            self._layers = []
        self._rows: list[Tensor] = []
        self._undo: list[Callable[[], None]] = []

    def __enter__(self) -> list[Tensor]:
        for layer in self._layers:
            assert layer is not None
            handle = layer.attn_drop.register_forward_hook(self._see)
            was_fused = layer.fused_attn
            layer.fused_attn = False
            self._undo += [handle.remove, partial(setattr, layer, "fused_attn", was_fused)]
        return self._rows

    def __exit__(self, *_: object) -> None:
        for undo in self._undo:
            undo()
        if len(self._rows) != len(self._layers):
            self._rows.clear()

    def _see(self, _module: nn.Module, _inputs: object, attention_BHTT: Tensor) -> None:
        self._rows.append(attention_BHTT[:, :, 0])
