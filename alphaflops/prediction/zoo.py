"""The networks of the book: ResNets and VGG-16, and others from `transformers` configurations, with random weights.

None of them is used to fit anything.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from torch import Tensor, nn

from ..errors import AlphaflopsError
from ..network import Shape

IMAGE = Shape((1, 3, 224, 224))
WORDS = Shape((1, 128), "int64")


def _transformer(name: str, head: str = "ForImageClassification") -> nn.Module:
    """Build one of the models of `transformers`, with random weights and 1000 classes."""
    try:
        with warnings.catch_warnings():  # tqdm, which it imports, asks for widgets in a notebook
            warnings.filterwarnings("ignore", message="IProgress not found")
            import transformers
    except ImportError as error:
        raise AlphaflopsError(f"the network {name} needs the package transformers: pip install transformers") from error
    config = getattr(transformers, f"{name}Config")(num_labels=1000)
    built: nn.Module = getattr(transformers, f"{name}{head}")(config)
    return built


mobilenet_v2 = partial(_transformer, "MobileNetV2")
"""MobileNetV2, width 1.0."""
convnext_tiny = partial(_transformer, "ConvNext")
"""ConvNeXt-T."""
vit_base = partial(_transformer, "ViT")
"""ViT-B/16."""
bert_base = partial(_transformer, "Bert", "Model")
"""The encoder of BERT-base; its input is 128 tokens."""


def _resnet(depths: Sequence[int], growth: int) -> nn.Module:
    """Build a ResNet of version 1.5, whose strides are in the 3×3 (He et al., arXiv 1512.03385, table 1).

    Parameters
    ----------
    depths : sequence of int
        Blocks of each stage.
    growth : int
        1 for blocks of two 3×3, else by how much the last 1×1 of a block widens its 3×3.
    """

    def conv(cin: int, cout: int, kernel: int, stride: int = 1) -> list[nn.Module]:
        return [nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(cout)]

    class Residual(nn.Module):
        def __init__(self, cin: int, width: int, stride: int) -> None:
            super().__init__()
            cout, entry = growth * width, conv(cin, width, 3, stride)
            if growth > 1:
                entry = [*conv(cin, width, 1), nn.ReLU(), *conv(width, width, 3, stride)]
            self.path = nn.Sequential(*entry, nn.ReLU(), *conv(width, cout, 1 if growth > 1 else 3))
            self.short = nn.Sequential(*conv(cin, cout, 1, stride) if cin != cout else ())

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.relu(self.path(x).add_(self.short(x)))

    class ResNet(nn.Sequential):
        """Bears the name that a report shows."""

    layers, channels = [*conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for stage, depth in enumerate(depths):
        for block in range(depth):
            layers.append(Residual(channels, 64 * 2**stage, 2 if stage > 0 == block else 1))
            channels = growth * 64 * 2**stage
    return ResNet(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


resnet18 = partial(_resnet, (2, 2, 2, 2), 1)
"""ResNet-18."""
resnet50 = partial(_resnet, (3, 4, 6, 3), 4)
"""ResNet-50."""


def vgg16() -> nn.Module:
    """Build VGG-16, configuration D of Simonyan and Zisserman (arXiv 1409.1556, table 1)."""
    layers, channels = list[nn.Module](), 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    head = (nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout())
    return nn.Sequential(*layers, nn.Flatten(), *head, nn.Linear(4096, 1000))


Networks: TypeAlias = Mapping[str, tuple[Callable[[], nn.Module], Shape]]

NETWORKS: Networks = {
    "ResNet-18": (resnet18, IMAGE), "ResNet-50": (resnet50, IMAGE), "VGG-16": (vgg16, IMAGE),
    "MobileNetV2": (mobilenet_v2, IMAGE), "ConvNeXt-T": (convnext_tiny, IMAGE), "ViT-B/16": (vit_base, IMAGE),
    "BERT-base": (bert_base, WORDS),
}  # fmt: skip
"""Name → builder and input."""
