"""Lets a torchvision of another build than torch be imported, as timm does at once; only its operators do not work.

The package index has torchvision for CUDA alone. Beside a torch for the CPU its operators are missing, and importing it
fails where it registers what two of them look like. Nothing that timm does with a ViT needs them.
"""

import torch

SCHEMAS = ("nms", "qnms")


def define_missing_schemas() -> None:
    """Define what the import asks for, once, where it is missing."""
    if torch.version.cuda is not None or hasattr(torch.ops.torchvision, SCHEMAS[0]):
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in SCHEMAS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)  # a library takes its definitions with it when it goes


_kept: list[torch.library.Library] = []
