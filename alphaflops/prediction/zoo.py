"""The networks of the book, built from `transformers` configurations without downloading weights, and VGG-16.

None of them is used to fit anything.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import AlphaflopsError
from ..network.inputs import Shape

if TYPE_CHECKING:
    import torch

IMAGE = Shape((1, 3, 224, 224))
WORDS = Shape((1, 128), "int64")


def _transformer(name: str, head: str = "ForImageClassification", **settings: Any) -> "torch.nn.Module":
    """Build one of the models of `transformers`, with random weights and 1000 classes."""
    try:
        with warnings.catch_warnings():  # tqdm, which it imports, asks for widgets in a notebook
            warnings.filterwarnings("ignore", message="IProgress not found")
            import transformers
    except ImportError as error:
        raise AlphaflopsError(
            "the networks of the book need the package transformers: pip install transformers"
        ) from error
    config = getattr(transformers, f"{name}Config")(num_labels=1000, **settings)
    built: torch.nn.Module = getattr(transformers, f"{name}{head}")(config)
    return built


resnet18 = partial(_transformer, "ResNet", depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512], layer_type="basic")
"""ResNet-18."""
resnet50 = partial(_transformer, "ResNet")
"""ResNet-50 v1.5 (stride in the 3×3)."""
mobilenet_v2 = partial(_transformer, "MobileNetV2")
"""MobileNetV2, width 1.0."""
convnext_tiny = partial(_transformer, "ConvNext")
"""ConvNeXt-T."""
vit_base = partial(_transformer, "ViT")
"""ViT-B/16."""
bert_base = partial(_transformer, "Bert", "Model")
"""The encoder of BERT-base; its input is 128 tokens."""


def vgg16() -> "torch.nn.Module":
    """Build VGG-16, configuration D of Simonyan and Zisserman (arXiv 1409.1556, table 1)."""
    from torch import nn

    layers: list[nn.Module] = []
    channels = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout()]
    layers += [nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers)


NETWORKS: Mapping[str, tuple[Callable[[], "torch.nn.Module"], Shape]] = {
    "ResNet-18": (resnet18, IMAGE),
    "ResNet-50": (resnet50, IMAGE),
    "VGG-16": (vgg16, IMAGE),
    "MobileNetV2": (mobilenet_v2, IMAGE),
    "ConvNeXt-T": (convnext_tiny, IMAGE),
    "ViT-B/16": (vit_base, IMAGE),
    "BERT-base": (bert_base, WORDS),
}
"""Name → builder and input."""
