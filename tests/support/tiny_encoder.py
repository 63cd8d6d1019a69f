"""A real ONNX encoder of a few kB, built without torch: what every test uses where any encoder will do."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from encoder.bundle import write_bundle
from encoder.manifest import Graph, Manifest, Preprocessing, Variant, bundle_id

SIDE, GRID, DIM = 32, 4, 24


def tiny_onnx(seed: int) -> bytes:
    """Mean colour of 4 x 4 patches, a random projection to 24 dimensions, length 1; attention from the contrast."""
    patches, pixels_per_patch = GRID * GRID, SIDE // GRID
    weight = np.random.default_rng(seed).normal(size=(3 * patches, DIM)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "AveragePool", ["planes"], ["patches"],
            kernel_shape=[pixels_per_patch] * 2, strides=[pixels_per_patch] * 2,
        ),
        helper.make_node("Flatten", ["patches"], ["flat"]),
        helper.make_node("Sub", ["flat", "grey"], ["centred"]),
        helper.make_node("MatMul", ["centred", "weight"], ["projected"]),
        helper.make_node("LpNormalization", ["projected"], ["embedding"], axis=1, p=2),
        helper.make_node("ReduceMean", ["patches", "channel"], ["grey_patches"], keepdims=0),
        helper.make_node("Reshape", ["grey_patches", "patch_shape"], ["scores"]),
        helper.make_node("Div", ["scores", "scale"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["attention"], axis=1),
    ]  # fmt: skip
    constants = {
        "weight": weight,
        "grey": np.array([127.5], np.float32),
        "channel": np.array([1], np.int64),
        "patch_shape": np.array([-1, patches], np.int64),
        "scale": np.array([64.0], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
        [
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", DIM]),
            helper.make_tensor_value_info("attention", TensorProto.FLOAT, ["batch", patches]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def write_tiny_bundle(path: Path, *, seed: int = 0, name: str = "tiny") -> Path:
    """Write the bundle of a tiny encoder; other seeds are other encoders."""
    graph = tiny_onnx(seed)
    sha256 = hashlib.sha256(graph).hexdigest()
    preprocessing = Preprocessing(
        image_size=SIDE, resize="shortest_side", crop_fraction=1.0, interpolation="bicubic",
        mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0),
    )  # fmt: skip
    manifest = Manifest(
        id=bundle_id([sha256], preprocessing),
        name=name,
        embedding_dim=DIM,
        token_dim=None,
        preprocessing=preprocessing,
        patch_grid=(GRID, GRID),
        outputs=["embedding", "attention"],
        variants={"fp32": tiny_variant(sha256)},
        golden_sha256=None,
        source="drawn by lot",
        feature="mean colours",
        licence="Apache-2.0",
        trained_on="nothing: random weights",
        domain="nothing",
        figures={},
        recipe={},
        created_with={},
    )
    write_bundle(path, manifest, {"encoder.onnx": graph})
    return path


def tiny_variant(sha256: str) -> Variant:
    """The one variant of a tiny bundle: one graph, its weights inside."""
    return Variant(
        precision="fp32",
        method="as it was drawn",
        graphs=[Graph(file="encoder.onnx", outputs=["embedding", "attention"])],
        sha256={"encoder.onnx": sha256},
        pruning=None,
        built_for=None,
        parity={},
    )
