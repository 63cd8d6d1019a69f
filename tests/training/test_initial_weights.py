"""Published key layouts, as small files with the real names and shapes, against the functions they were trained as."""

import importlib.util

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from encoder.errors import ConfigError, MissingExtraError
from training.initial_weights import load_initial_weights, start_model
from training.positions import sincos_positions
from training.recipe import Recipe
from training.vit import build_vit

WIDTH, DEPTH, HEADS, PATCH = 192, 6, 3, 16


def noise(*shape, seed=[0]):  # noqa: B006 (a counter, so that every tensor differs)
    seed[0] += 1
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed[0])) * 0.1


def timm_file(*, grid=4, layer_scale=False, registers=0, patch=PATCH, depth=DEPTH):
    tensors = {
        "cls_token": noise(1, 1, WIDTH),
        "pos_embed": noise(1, 1 + grid**2, WIDTH),
        "patch_embed.proj.weight": noise(WIDTH, 3, patch, patch),
        "patch_embed.proj.bias": noise(WIDTH),
        "norm.weight": 1 + noise(WIDTH),
        "norm.bias": noise(WIDTH),
    }
    if registers:
        tensors["register_tokens"] = noise(1, registers, WIDTH)
    for layer in range(depth):
        block = f"blocks.{layer}."
        for norm in ("norm1", "norm2"):
            tensors |= {f"{block}{norm}.weight": 1 + noise(WIDTH), f"{block}{norm}.bias": noise(WIDTH)}
        for name, (out, into) in {
            "attn.qkv": (3 * WIDTH, WIDTH), "attn.proj": (WIDTH, WIDTH),
            "mlp.fc1": (4 * WIDTH, WIDTH), "mlp.fc2": (WIDTH, 4 * WIDTH),
        }.items():  # fmt: skip
            tensors |= {f"{block}{name}.weight": noise(out, into), f"{block}{name}.bias": noise(out)}
        if layer_scale:
            tensors |= {f"{block}ls1.gamma": 1 + noise(WIDTH), f"{block}ls2.gamma": 1 + noise(WIDTH)}
    return tensors


def plain_vit(tensors, pixels, *, heads=HEADS):
    """A ViT written out over timm's names, layer scale and registers included; the tokens after the last norm."""
    patches = functional.conv2d(
        pixels, tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"], stride=PATCH
    )
    patches = patches.flatten(2).transpose(1, 2)
    x = torch.cat([tensors["cls_token"].expand(len(pixels), -1, -1), patches], dim=1) + tensors["pos_embed"]
    if "register_tokens" in tensors:
        registers = tensors["register_tokens"].expand(len(pixels), -1, -1)
        x = torch.cat([x[:, :1], registers, x[:, 1:]], dim=1)

    def linear(value, name):
        return value @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    def norm(value, name):
        return functional.layer_norm(value, (WIDTH,), tensors[f"{name}.weight"], tensors[f"{name}.bias"], 1e-6)

    depth = len([name for name in tensors if name.endswith("norm1.weight")])
    for layer in range(depth):
        block = f"blocks.{layer}"
        q, k, v = linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv").chunk(3, dim=-1)
        outs = []
        for head in range(heads):
            part = slice(head * WIDTH // heads, (head + 1) * WIDTH // heads)
            weights = (q[..., part] @ k[..., part].transpose(1, 2) / (WIDTH // heads) ** 0.5).softmax(dim=-1)
            outs.append(weights @ v[..., part])
        attended = linear(torch.cat(outs, dim=-1), f"{block}.attn.proj")
        x = x + attended * tensors.get(f"{block}.ls1.gamma", torch.ones(1))
        hidden = functional.gelu(linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1"))
        x = x + linear(hidden, f"{block}.mlp.fc2") * tensors.get(f"{block}.ls2.gamma", torch.ones(1))
    return norm(x, "norm")


def ours(path, **options):
    vit = build_vit("nano", image_size=64, patch_size=PATCH, **options).eval()
    return vit, load_initial_weights(vit, str(path))


def assert_same(vit, tensors, **options):
    pixels = noise(2, 3, 64, 64) * 10
    with torch.no_grad():
        features, expected = vit(pixels), plain_vit(tensors, pixels, **options)
    torch.testing.assert_close(features.cls_BD, expected[:, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features.patches_BPD, expected[:, 1 + vit.num_registers :], rtol=1e-4, atol=1e-4)


def test_timm_and_dino(tmp_path):
    tensors = timm_file()
    save_file({**tensors, "head.weight": noise(10, WIDTH), "head.bias": noise(10)}, tmp_path / "w.safetensors")
    vit, report = ours(tmp_path / "w.safetensors")
    assert_same(vit, tensors)
    assert (report.layout, report.loaded, report.kept_random) == ("timm", 6 + 12 * DEPTH, [])
    assert report.unused == ["head.bias", "head.weight"]
    # DINO's full checkpoint: student and teacher, wrapped for several processes, with a projection head.
    wrapped = {f"module.backbone.{name}": tensor for name, tensor in tensors.items()}
    head = {"module.head.last_layer.weight_v": noise(4, 4)}
    torch.save({"student": {}, "teacher": {**wrapped, **head}, "epoch": 3}, tmp_path / "dino.pth")
    vit, report = ours(tmp_path / "dino.pth")
    assert_same(vit, tensors)
    assert report.unused == ["head.last_layer.weight_v"]


@pytest.mark.parametrize("registers", [0, 4])
def test_dinov2(tmp_path, registers):
    tensors = timm_file(layer_scale=True, registers=registers)
    chunked = {name.replace("blocks.", f"blocks.{int(name.split('.')[1]) // 2}.", 1) if name.startswith("blocks.")
               else name: tensor for name, tensor in tensors.items()}  # fmt: skip
    torch.save({**chunked, "mask_token": noise(1, WIDTH)}, tmp_path / "dinov2.pth")
    vit, report = ours(tmp_path / "dinov2.pth", num_registers=registers)
    assert_same(vit, tensors)
    assert report.unused == ["mask_token"]


def test_torchvision(tmp_path):
    tensors, theirs = timm_file(), {}
    names = {
        "cls_token": "class_token", "pos_embed": "encoder.pos_embedding", "norm": "encoder.ln",
        "patch_embed.proj": "conv_proj", "norm1": "ln_1", "norm2": "ln_2",
        "attn.proj": "self_attention.out_proj", "mlp.fc1": "mlp.0", "mlp.fc2": "mlp.3",
    }  # fmt: skip
    for name, tensor in tensors.items():
        if name.startswith("blocks."):
            _, layer, rest = name.split(".", 2)
            part, kind = rest.rsplit(".", 1)
            inner = f"self_attention.in_proj_{kind}" if part == "attn.qkv" else f"{names[part]}.{kind}"
            theirs[f"encoder.layers.encoder_layer_{layer}.{inner}"] = tensor
        elif name in names:
            theirs[names[name]] = tensor
        else:
            part, kind = name.rsplit(".", 1)
            theirs[f"{names[part]}.{kind}"] = tensor
    torch.save({**theirs, "heads.head.weight": noise(5, WIDTH), "heads.head.bias": noise(5)}, tmp_path / "tv.pth")
    vit, report = ours(tmp_path / "tv.pth")
    assert_same(vit, tensors)
    assert (report.layout, report.unused) == ("torchvision", ["heads.head.bias", "heads.head.weight"])
    # The first releases called the two layers of the perceptron linear_1 and linear_2.
    older = {name.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): t for name, t in theirs.items()}
    torch.save(older, tmp_path / "old.pth")
    assert_same(ours(tmp_path / "old.pth")[0], tensors)


def test_moco_v3(tmp_path):
    tensors = timm_file()
    state = {f"module.base_encoder.{name}": tensor for name, tensor in tensors.items()}
    state |= {f"module.momentum_encoder.{name}": noise(*tensor.shape) for name, tensor in tensors.items()}
    state |= {"module.base_encoder.head.0.weight": noise(8, WIDTH), "module.predictor.0.weight": noise(8, 8)}
    torch.save({"epoch": 300, "arch": "vit_small", "state_dict": state}, tmp_path / "moco.pth.tar")
    vit, report = ours(tmp_path / "moco.pth.tar")
    assert_same(vit, tensors)
    assert (report.layout, report.unused) == ("moco_v3", ["head.0.weight"])


def test_moco_v3s_small_vit_has_12_heads(tmp_path):
    torch.save({"module.base_encoder.patch_embed.proj.weight": noise(384, 3, 16, 16)}, tmp_path / "w.pth")
    vit = build_vit("small", image_size=64, patch_size=16)
    with pytest.raises(ConfigError, match=r"it has 12 heads \(--num-heads 12\)"):
        load_initial_weights(vit, str(tmp_path / "w.pth"))


def dinov3_file():
    """DINOv3 as its authors name it: registers are storage tokens, positions rotary, the bias of k masked."""
    tensors = timm_file(layer_scale=True)
    del tensors["pos_embed"]
    tensors |= {"storage_tokens": noise(1, 4, WIDTH), "rope_embed.periods": noise(16), "mask_token": noise(1, WIDTH)}
    mask = torch.ones(3 * WIDTH)
    mask[WIDTH : 2 * WIDTH] = 0
    for layer in range(DEPTH):
        tensors[f"blocks.{layer}.attn.qkv.bias_mask"] = mask.clone()
    return tensors


def test_dinov3(tmp_path):
    tensors = dinov3_file()
    torch.save(tensors, tmp_path / "dinov3.pth")
    vit, report = ours(tmp_path / "dinov3.pth", positions="rope", num_registers=4)
    assert (report.layout, report.kept_random) == ("dinov3", [])
    bias = vit.blocks[2].attn.qkv.bias
    assert torch.equal(bias[WIDTH : 2 * WIDTH], torch.zeros(WIDTH))
    assert torch.equal(bias[:WIDTH], tensors["blocks.2.attn.qkv.bias"][:WIDTH])
    assert torch.equal(vit.register_tokens, tensors["storage_tokens"])
    gamma = tensors["blocks.1.ls2.gamma"]
    assert torch.equal(vit.blocks[1].mlp.fc2.weight, gamma[:, None] * tensors["blocks.1.mlp.fc2.weight"])


def test_dinov3_in_the_transformers_librarys_names(tmp_path):
    original, theirs = dinov3_file(), {}
    names = {"attn.proj": "attention.o_proj", "mlp.fc1": "mlp.up_proj", "mlp.fc2": "mlp.down_proj"}
    for name, tensor in original.items():
        if not name.startswith("blocks."):
            continue
        _, layer, rest = name.split(".", 2)
        part, kind = rest.rsplit(".", 1)
        prefix = f"model.layer.{layer}."
        if part == "attn.qkv" and kind != "bias_mask":
            for letter, piece in zip("qkv", tensor.chunk(3), strict=True):
                if (letter, kind) != ("k", "bias"):
                    theirs[f"{prefix}attention.{letter}_proj.{kind}"] = piece
        elif kind == "gamma":
            theirs[f"{prefix}layer_scale{part[-1]}.lambda1"] = tensor
        elif kind != "bias_mask":
            theirs[f"{prefix}{names.get(part, part)}.{kind}"] = tensor
    theirs |= {
        "embeddings.cls_token": original["cls_token"], "embeddings.mask_token": original["mask_token"],
        "embeddings.register_tokens": original["storage_tokens"],
        "embeddings.patch_embeddings.weight": original["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.bias": original["patch_embed.proj.bias"],
        "norm.weight": original["norm.weight"], "norm.bias": original["norm.bias"],
    }  # fmt: skip
    save_file({name: tensor.contiguous() for name, tensor in theirs.items()}, tmp_path / "hf.safetensors")
    torch.save(original, tmp_path / "original.pth")
    options = {"positions": "rope", "num_registers": 4}
    one, report = ours(tmp_path / "hf.safetensors", **options)
    other, _ = ours(tmp_path / "original.pth", **options)
    assert (report.layout, report.kept_random, report.unused) == ("hf_dinov3", [], ["embeddings.mask_token"])
    assert all(torch.equal(one.state_dict()[name], tensor) for name, tensor in other.state_dict().items())


def test_positions_of_another_grid_are_resampled(tmp_path):
    tensors = timm_file(grid=14)
    tensors["pos_embed"] = sincos_positions(14, WIDTH)
    save_file(tensors, tmp_path / "w.safetensors")
    vit, report = ours(tmp_path / "w.safetensors")
    assert report.resampled == (14, 4)
    assert "resampled from 14 to 4 patches a side" in "\n".join(report.lines())
    assert torch.equal(vit.pos_embed[:, 0], tensors["pos_embed"][:, 0])
    # Smooth embeddings keep their order along rows and columns: the mean over a column's rows is near the original's.
    grid = tensors["pos_embed"][0, 1:].reshape(14, 14, WIDTH)
    coarse = vit.pos_embed[0, 1:].detach().reshape(4, 4, WIDTH)
    expected = functional.interpolate(grid.permute(2, 0, 1)[None], (4, 4), mode="area")[0].permute(1, 2, 0)
    assert functional.cosine_similarity(coarse.flatten(), expected.flatten(), dim=0) > 0.98
    # The same grid is copied bit for bit.
    save_file(timm_file(grid=4) | {"pos_embed": tensors["pos_embed"][:, :17]}, tmp_path / "same.safetensors")
    vit, report = ours(tmp_path / "same.safetensors")
    assert report.resampled is None
    assert torch.equal(vit.pos_embed, tensors["pos_embed"][:, :17])


def test_what_does_not_fit_names_the_flag_that_mends_it(tmp_path):
    for tensors, options, message in (
        (timm_file(patch=14), {}, "--patch-size 14"),
        (timm_file(registers=4), {}, "--num-registers 4"),
        (timm_file(depth=12), {}, "--encoder tiny"),
        (dinov3_file(), {"num_registers": 4}, "--positions rope"),
        (timm_file(), {"positions": "rope"}, "--positions sincos"),
        (timm_file() | {"blocks.0.attn.q_norm.weight": noise(64)}, {}, "q_norm.weight has no place"),
        (timm_file() | {"norm_pre.weight": noise(WIDTH)}, {}, "norm_pre.weight has no place"),
        ({name: t for name, t in timm_file().items() if name != "pos_embed"}, {}, "--positions rope"),
        ({name: t for name, t in timm_file().items() if "blocks.3.mlp.fc2" not in name}, {}, "fc2.bias, .* is missing"),
        ({"conv1.weight": noise(64, 3, 7, 7), "layer1.0.bn1.weight": noise(64)}, {}, "nothing matched"),
        ({"class_token": noise(1, 1, WIDTH)}, {}, "nothing in"),
    ):
        save_file(tensors, tmp_path / "w.safetensors")
        with pytest.raises(ConfigError, match=message):
            ours(tmp_path / "w.safetensors", **options)


def test_files_that_are_no_weights(tmp_path):
    (tmp_path / "text.pth").write_text("not weights")
    torch.save({"model": object}, tmp_path / "objects.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x00" * 20)
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("text.pth", "objects.pth", "cut.safetensors", "list.pth", "absent.pth"):
        with pytest.raises(ConfigError):
            ours(tmp_path / name)


def test_timm_by_name_needs_timm():
    if importlib.util.find_spec("timm"):
        pytest.skip("timm is installed")
    with pytest.raises(MissingExtraError, match=r"\.\[timm\]"):
        ours("timm:vit_small_patch16_224")


def test_both_encoders_of_a_run_begin_with_the_weights(tmp_path):
    save_file(timm_file(), tmp_path / "w.safetensors")
    recipe = Recipe(
        encoder="nano",
        image_size=64,
        patch_size=16,
        hidden_dim=8,
        projection_dim=4,
        init=str(tmp_path / "w.safetensors"),
    )
    model, report = start_model(recipe)
    assert report.loaded == 6 + 12 * DEPTH
    base, momentum = model.base.state_dict(), model.momentum.state_dict()
    assert all(torch.equal(base[name], momentum[name]) for name in base)
