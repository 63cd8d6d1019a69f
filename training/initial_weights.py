"""Start from published weights: read a file in any of the usual key layouts and fit it into our ViT.

    timm          blocks.N.attn.qkv ...; also DINO and DINOv2 as their authors publish them
    torchvision   encoder.layers.encoder_layer_N.self_attention.in_proj_weight ...
    dinov3        blocks.N..., storage_tokens, rope_embed, no pos_embed
    hf_dinov3     the transformers library's names of DINOv3: layer.N.attention.q_proj ...
    moco_v3       module.base_encoder.blocks.N ...

Layer scale is folded into the projections before it, which is the same function. Position embeddings of another grid
are resampled. Whatever a file says of a layer that our network cannot do (a gated MLP, a norm of the keys) stops the
start: the network would compute something else than the weights were trained for. Heads and other tensors without a
place are reported. A run of our own goes on with its heads, which `second_stage` does.

Pickled files are read by torch's weights-only reader, which runs no code.
"""

import importlib
import pickle
import re
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from encoder.errors import ConfigError, MissingExtraError
from training.checkpoint import build_model
from training.init_report import InitReport
from training.key_layouts import OurTensors, to_our_names
from training.model import LoDisc
from training.positions import resize_positions
from training.recipe import Recipe
from training.second_stage import continue_run, is_run
from training.vit import ENCODERS, VisionTransformer

# How the sources begin that are fetched and not read from a file.
TIMM, ADDRESSES = "timm:", ("http://", "https://")
FETCHED = (TIMM, *ADDRESSES)


def initial_model(recipe: Recipe) -> LoDisc:
    """The model of a recipe with the weights that its training begins from.

    Raises:
        ConfigError: the recipe's initial weights are gone or do not fit.
    """
    return start_model(recipe)[0]


def start_model(recipe: Recipe) -> tuple[LoDisc, InitReport | None]:
    """The model that a run of `recipe` begins with, and what became of the file of `recipe.init`, if any."""
    model = build_model(recipe)
    if not recipe.init:
        return model, None
    if is_run(recipe.init):
        return model, continue_run(model, recipe, recipe.init)
    report = load_initial_weights(model.base.backbone, recipe.init)
    model.momentum.load_state_dict(model.base.state_dict())
    return model, report


def load_initial_weights(backbone: VisionTransformer, source: str) -> InitReport:
    """Fill a backbone from a file, an address, or timm.

    Raises:
        ConfigError: it cannot be read; nothing in it is a ViT's; or it is of another architecture than the backbone,
            with the flags that would make them agree.
        MissingExtraError: timm is asked for and not installed.
    """
    ours = to_our_names(read_weights(source), source)
    _refuse_other_architecture(ours, backbone, source)
    wanted = backbone.state_dict()
    resampled = None
    if "pos_embed" in wanted and "pos_embed" in ours.tensors:
        ours.tensors["pos_embed"], resampled = _fit_positions(ours.tensors["pos_embed"], backbone, source)
    matched = {name: tensor for name, tensor in ours.tensors.items() if name in wanted}
    if not matched:
        raise ConfigError(f"nothing in {source} has a place in this ViT; its keys begin with {ours.sample()}")
    backbone.load_state_dict(matched, strict=False)
    return InitReport(
        source=source,
        layout=ours.layout,
        loaded=len(matched),
        kept_random=[name for name in wanted if name not in matched],
        unused=sorted(ours.unused + [name for name in ours.tensors if name not in wanted]),
        resampled=resampled,
    )


def read_weights(source: str) -> dict[str, Tensor]:
    """The tensors of a file, of an https address (kept in torch's hub folder) or of a timm model, by their names."""
    if source.startswith(TIMM):
        try:
            timm_weights = importlib.import_module("training.timm_weights")
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"initial weights {source} need timm: pip install -e '.[timm]'") from error
        except RuntimeError as error:  # its torchvision registers operators that another build of torch does not have
            raise MissingExtraError(
                f"initial weights {source} need timm, whose torchvision is of another build than torch ({error}); "
                "install both from one index, for CPU or for the same CUDA"
            ) from error
        tensors: dict[str, Tensor] = timm_weights.pretrained_tensors(source.removeprefix(TIMM))
        return tensors
    if source.startswith(ADDRESSES):
        return _flatten(_fetch(source), source)
    path = Path(source)
    if not path.is_file():
        raise ConfigError(
            f"initial weights {source} do not exist; give a file, a run of lodisc train, an https address, or timm:NAME"
        )
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # what cannot be read is told below
            return _flatten(torch.load(path, map_location="cpu", weights_only=True), source)
    except pickle.UnpicklingError as error:
        raise ConfigError(
            f"{source} holds Python objects beside its tensors, which are not run here; save its state_dict alone, "
            "as .safetensors or .pth"
        ) from error
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{source} is not a readable file of weights ({reason})") from error


def _fetch(address: str) -> object:
    try:
        return torch.hub.load_state_dict_from_url(address, map_location="cpu", weights_only=True, check_hash=False)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise ConfigError(
            f"{address} could not be fetched ({error}); fetch it elsewhere and give the file as --init FILE"
        ) from error


def _flatten(content: object, source: str) -> dict[str, Tensor]:
    """The one dictionary of tensors in a checkpoint, which may lie under the name that its authors gave it."""
    for name in ("state_dict", "model", "teacher"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict):
        raise ConfigError(f"{source} holds a {type(content).__name__}, expected a dictionary of tensors")
    return {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def _refuse_other_architecture(ours: OurTensors, backbone: VisionTransformer, source: str) -> None:
    """Stop where the file's network is another one than the recipe's, naming the flags that mend it."""
    tensors = ours.tensors
    projection = tensors.get("patch_embed.proj.weight")
    if projection is None:
        raise ConfigError(f"nothing in {source} is a ViT's patch embedding; its keys begin with {ours.sample()}")
    layers = {int(match[1]) for name in tensors if (match := re.match(r"blocks\.(\d+)\.", name))}
    width, depth = projection.shape[0], len(layers)
    registers = tensors["register_tokens"].shape[1] if "register_tokens" in tensors else 0
    faults = []
    if (width, depth) != (backbone.width, len(backbone.blocks)):
        named = next((name for name, (w, d, _) in ENCODERS.items() if (w, d) == (width, depth)), None)
        mend = f"--encoder {named}" if named else f"no encoder of ours ({', '.join(ENCODERS)}) is of that size"
        faults.append(f"it is {width} wide and {depth} layers deep ({mend})")
    if projection.ndim != 4 or backbone.stem != "patch":
        faults.append("it has a patch embedding of one projection (--stem patch)")
    elif projection.shape[-1] != backbone.patch_size:
        faults.append(f"its patches are {projection.shape[-1]} pixels (--patch-size {projection.shape[-1]})")
    if registers != backbone.num_registers:
        faults.append(f"it has {registers} register tokens (--num-registers {registers})")
    if ours.rotary != (backbone.positions == "rope"):
        wanted = "rope" if ours.rotary else "sincos"
        faults.append(f"its positions are {'rotary' if ours.rotary else 'embeddings'} (--positions {wanted})")
    if ours.num_heads is not None and ours.num_heads != backbone.num_heads:
        faults.append(f"it has {ours.num_heads} heads (--num-heads {ours.num_heads})")
    if faults:
        raise ConfigError(f"{source} does not fit the recipe: {'; '.join(faults)}")
    known = set(backbone.state_dict())
    strange = sorted(name for name in tensors if name.startswith("blocks.") and name not in known)
    strange += [name for name in ours.unused if name.startswith("norm_pre.")]  # CLIP's norm before the first layer
    absent = sorted(name for name in known if name.startswith("blocks.") and name not in tensors)
    if strange or absent:
        raise ConfigError(
            f"{source} has layers of another kind: {', '.join((strange or absent)[:3])} "
            f"{'has no place in' if strange else 'is missing for'} this ViT"
        )
    for name in tensors.keys() & known - {"pos_embed"}:
        if tensors[name].shape != backbone.state_dict()[name].shape:
            raise ConfigError(
                f"{source}: {name} has shape {tuple(tensors[name].shape)}, expected "
                f"{tuple(backbone.state_dict()[name].shape)}"
            )


def _fit_positions(
    positions_1TD: Tensor, backbone: VisionTransformer, source: str
) -> tuple[Tensor, tuple[int, int] | None]:
    """Position embeddings for our grid, CLS first; resampled by bicubic interpolation if theirs is another."""
    num_positions = positions_1TD.shape[1]
    grid_size = round((num_positions - 1) ** 0.5)
    if grid_size**2 == num_positions - 1:
        cls_11D, patches_1PD = positions_1TD[:, :1], positions_1TD[:, 1:]
    elif round(num_positions**0.5) ** 2 == num_positions:  # timm's models with no_embed_class: patches alone
        grid_size = round(num_positions**0.5)
        cls_11D, patches_1PD = torch.zeros_like(positions_1TD[:, :1]), positions_1TD
    else:
        raise ConfigError(f"{source}: {num_positions} position embeddings are no square grid")
    positions_1TD = resize_positions(torch.cat([cls_11D, patches_1PD], dim=1), backbone.grid_size)
    return positions_1TD, None if grid_size == backbone.grid_size else (grid_size, backbone.grid_size)
