"""The names that published ViTs give their tensors, translated to ours (which are timm's).

Each layout is recognised by keys that no other has. Nothing is guessed from shapes, except the number of heads of
MoCo v3, whose ViT-S has 12 where everybody else's has 6.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from encoder.errors import ConfigError


@dataclass
class OurTensors:
    """Tensors under our names.

    Attributes:
        layout: where the names came from.
        tensors: by our names.
        unused: names of tensors without a place.
        rotary: whether positions are a rotation, not embeddings.
        num_heads: where the layout tells it.
    """

    layout: str
    tensors: dict[str, Tensor]
    unused: list[str] = field(default_factory=list)
    rotary: bool = False
    num_heads: int | None = None

    def sample(self) -> str:
        """Some names, for an error."""
        return ", ".join([*self.tensors, *self.unused][:3]) or "nothing"


# (pattern of their name, our name); the first that matches the whole name counts.
Rules = tuple[tuple[str, str], ...]

TORCHVISION: Rules = (
    (r"class_token", "cls_token"),
    (r"conv_proj\.(weight|bias)", r"patch_embed.proj.\1"),
    (r"encoder\.pos_embedding", "pos_embed"),
    (r"encoder\.ln\.(weight|bias)", r"norm.\1"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.ln_([12])\.(weight|bias)", r"blocks.\1.norm\2.\3"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.in_proj_(weight|bias)", r"blocks.\1.attn.qkv.\2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.out_proj\.(weight|bias)", r"blocks.\1.attn.proj.\2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:0|linear_1)\.(weight|bias)", r"blocks.\1.mlp.fc1.\2"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:3|linear_2)\.(weight|bias)", r"blocks.\1.mlp.fc2.\2"),
)
HF_DINOV3: Rules = (
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.register_tokens", "register_tokens"),
    (r"embeddings\.patch_embeddings\.(weight|bias)", r"patch_embed.proj.\1"),
    (r"norm\.(weight|bias)", r"norm.\1"),
    (r"(?:model\.)?layer\.(\d+)\.norm([12])\.(weight|bias)", r"blocks.\1.norm\2.\3"),
    (r"(?:model\.)?layer\.(\d+)\.attention\.([qkv])_proj\.(weight|bias)", r"blocks.\1.attn.\2.\3"),
    (r"(?:model\.)?layer\.(\d+)\.attention\.o_proj\.(weight|bias)", r"blocks.\1.attn.proj.\2"),
    (r"(?:model\.)?layer\.(\d+)\.layer_scale([12])\.lambda1", r"blocks.\1.ls\2.gamma"),
    (r"(?:model\.)?layer\.(\d+)\.mlp\.up_proj\.(weight|bias)", r"blocks.\1.mlp.fc1.\2"),
    (r"(?:model\.)?layer\.(\d+)\.mlp\.down_proj\.(weight|bias)", r"blocks.\1.mlp.fc2.\2"),
    (r"(?:model\.)?layer\.(\d+)\.(.+)", r"blocks.\1.\2"),
)
TIMM: Rules = (
    (r"(cls_token|pos_embed|norm\.weight|norm\.bias|patch_embed\.proj\.weight|patch_embed\.proj\.bias)", r"\1"),
    (r"(?:reg_token|register_tokens|storage_tokens)", "register_tokens"),
    # DINOv2's sharded training wraps its layers in chunks: blocks.CHUNK.LAYER.
    (r"blocks\.\d+\.(\d+)\.(.+)", r"blocks.\1.\2"),
    (r"blocks\.(\d+)\.gamma_([12])", r"blocks.\1.ls\2.gamma"),
    (r"blocks\.(\d+)\.(.+)", r"blocks.\1.\2"),
)


def to_our_names(tensors: Mapping[str, Tensor], source: str) -> OurTensors:
    """Recognise the layout of a file and give its tensors our names, with layer scale folded in.

    Raises:
        ConfigError: no layout that we know.
    """
    tensors, is_moco = _strip_wrappers(tensors)
    if "class_token" in tensors or "conv_proj.weight" in tensors:
        ours = _rename("torchvision", TORCHVISION, tensors)
    elif "embeddings.patch_embeddings.weight" in tensors:
        ours = _rename("hf_dinov3", HF_DINOV3, tensors)
        ours.rotary = True
        _join_qkv(ours.tensors)
    elif "patch_embed.proj.weight" in tensors:
        ours = _rename("moco_v3" if is_moco else "timm", TIMM, tensors)
        # timm's DINOv3 says nothing of its rotation, but has no position embeddings.
        is_rotary = "storage_tokens" in tensors or any(name.startswith("rope") for name in tensors)
        if is_rotary or "pos_embed" not in tensors:
            ours.layout, ours.rotary = "dinov3", True
        if is_moco and ours.tensors["patch_embed.proj.weight"].shape[0] == 384:
            ours.num_heads = 12
    else:
        sample = ", ".join(sorted(tensors)[:3]) or "nothing"
        raise ConfigError(
            f"{source} is in no known layout (timm, torchvision, DINO, DINOv2, DINOv3, MoCo v3): "
            f"nothing matched; its keys begin with {sample}"
        )
    _mask_key_bias(ours.tensors)
    _fold_layer_scale(ours.tensors)
    return ours


def _strip_wrappers(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """Drop what wrappers put before the names, and of MoCo v3's two encoders and heads all but the base encoder."""
    stripped = {re.sub(r"^(module\.|_orig_mod\.|student\.|teacher\.)+", "", name): t for name, t in tensors.items()}
    is_moco = any(name.startswith("base_encoder.") for name in stripped)
    if is_moco:
        stripped = {
            name.removeprefix("base_encoder."): tensor
            for name, tensor in stripped.items()
            if not name.startswith(("momentum_encoder.", "predictor."))
        }
    return {re.sub(r"^(backbone|vit|model\.backbone)\.", "", name): t for name, t in stripped.items()}, is_moco


def _rename(layout: str, rules: Rules, tensors: Mapping[str, Tensor]) -> OurTensors:
    ours = OurTensors(layout, {})
    for name, tensor in tensors.items():
        for pattern, replacement in rules:
            if match := re.fullmatch(pattern, name):
                ours.tensors[match.expand(replacement)] = tensor
                break
        else:
            ours.unused.append(name)
    return ours


def _join_qkv(tensors: dict[str, Tensor]) -> None:
    """Put q, k and v, stored apart, into one matrix; a bias that one of them lacks is 0."""
    for prefix in sorted({name.removesuffix("q.weight") for name in tensors if name.endswith(".attn.q.weight")}):
        weights = [tensors.pop(f"{prefix}{part}.weight") for part in "qkv"]
        biases = [tensors.pop(f"{prefix}{part}.bias", torch.zeros(len(weights[0]))) for part in "qkv"]
        tensors[f"{prefix}qkv.weight"], tensors[f"{prefix}qkv.bias"] = torch.cat(weights), torch.cat(biases)


def _mask_key_bias(tensors: dict[str, Tensor]) -> None:
    """DINOv3 stores a mask beside the bias of q, k and v that turns the bias of k off."""
    for name in [name for name in tensors if name.endswith(".attn.qkv.bias_mask")]:
        mask, bias = tensors.pop(name), name.removesuffix("_mask")
        tensors[bias] = torch.where(mask.nan_to_num(0.0) == 0, torch.zeros_like(mask), tensors[bias])
    for name in [name for name in tensors if name.endswith(".attn.qkv.weight")]:
        bias = name.removesuffix("weight") + "bias"
        if bias not in tensors:  # timm's qkv_bias=False
            tensors[bias] = tensors[name].new_zeros(len(tensors[name]))


def _fold_layer_scale(tensors: dict[str, Tensor]) -> None:
    """As gamma * (W x + b) = (gamma W) x + gamma b, layer scale becomes a part of the projection before it."""
    for name in [name for name in tensors if re.fullmatch(r"blocks\.\d+\.ls[12]\.gamma", name)]:
        gamma = tensors.pop(name)
        block, which = name.split(".ls")[0], name.split(".ls")[1][0]
        target = f"{block}.attn.proj" if which == "1" else f"{block}.mlp.fc2"
        if f"{target}.weight" in tensors:
            tensors[f"{target}.weight"] = gamma[:, None] * tensors[f"{target}.weight"]
            tensors[f"{target}.bias"] = gamma * tensors[f"{target}.bias"]
