"""``alphaflops layer``: everything that can be counted in one layer."""

from typing import Any, Literal

import click

from ..costs.alpha import summary
from ..errors import AlphaflopsError
from ..layers import Conv2d, Dense, Layer, Pair
from .output import json_option, print_json, print_pairs


def pair(_ctx: click.Context, param: click.Parameter, value: str) -> Pair:
    """Read ``3`` or ``3,5``."""
    try:
        numbers = [int(part) for part in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise AlphaflopsError(f"{param.name} is {value!r}: give one integer or two with a comma")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def padding_option(ctx: click.Context, param: click.Parameter, value: str) -> Literal["same"] | Pair:
    """Read ``same``, ``1`` or ``1,2``."""
    return "same" if value == "same" else pair(ctx, param, value)


def counts(layer: Layer) -> dict[str, Any]:
    """Give all counts of a layer by name."""
    return {
        "macs": layer.macs,
        "flops": layer.flops,
        "params": layer.params,
        "bytes_moved": layer.bytes_moved,
        "valid_macs": layer.valid_macs,
        **summary(layer.row()),
    }


def show(layer: Layer, as_json: bool) -> None:
    """Print the counts of a layer."""
    if as_json:
        print_json(counts(layer))
    else:
        print_pairs(counts(layer))


@click.group()
def layer() -> None:
    """Count one layer: MACs, FLOPs (2 per MAC), bytes, α-FLOPs, published time."""


@layer.command()
@click.option("--height", type=int, required=True, help="Input height.")
@click.option("--width", type=int, required=True, help="Input width.")
@click.option("--cin", type=int, required=True, help="Input channels.")
@click.option("--cout", type=int, required=True, help="Output channels.")
@click.option("--kernel", callback=pair, default="1", show_default=True, help="Kernel side, or height,width.")
@click.option("--batch", type=int, default=1, show_default=True, help="Inputs per call.")
@click.option("--stride", callback=pair, default="1", show_default=True, help="Stride, or two with a comma.")
@click.option("--padding", callback=padding_option, default="same", show_default=True, help="same, or zeros per side.")
@click.option("--dilation", callback=pair, default="1", show_default=True, help="Dilation, or two with a comma.")
@click.option("--groups", type=int, default=1, show_default=True, help="Groups of channels.")
@click.option("--bias/--no-bias", default=False, show_default=True, help="Count biases among the parameters.")
@click.option("--dtype-bytes", type=int, default=4, show_default=True, help="Bytes per number.")
@json_option
def conv2d(as_json: bool, cin: int, cout: int, **sizes: Any) -> None:
    """Count a two-dimensional convolution.

    \b
    Example:
      alphaflops layer conv2d --height 10 --width 10 --cin 100 --cout 50 --kernel 3
    """
    show(Conv2d(in_channels=cin, out_channels=cout, **sizes), as_json)


@layer.command()
@click.option("--batch", type=int, default=1, show_default=True, help="Vectors per call.")
@click.option("--in", "in_features", type=int, required=True, help="Input features.")
@click.option("--out", "out_features", type=int, required=True, help="Output features.")
@click.option("--bias/--no-bias", default=False, show_default=True, help="Count biases among the parameters.")
@click.option("--dtype-bytes", type=int, default=4, show_default=True, help="Bytes per number.")
@json_option
def dense(as_json: bool, **sizes: Any) -> None:
    """Count a dense layer.

    \b
    Example:
      alphaflops layer dense --batch 1 --in 12800 --out 12800
    """
    show(Dense(**sizes), as_json)
