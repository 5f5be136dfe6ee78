"""``alphaflops layer``: everything that can be counted in one layer."""

import argparse
from typing import Any, Literal

from ..errors import AlphaflopsError
from ..layers import Conv2d, Dense, Layer, Pair
from .output import examples, json_option, show_json, show_pairs

CONV = (("height", "input height"), ("width", "input width"), ("cin", "input channels"), ("cout", "output channels"))


def layer_options(parser: argparse.ArgumentParser) -> None:
    """Add ``conv2d`` and ``dense`` with their options."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND", parser_class=type(parser))
    conv = kinds.add_parser("conv2d", help="a two-dimensional convolution")
    for name, text in CONV:
        conv.add_argument(f"--{name}", type=int, required=True, help=text)
    conv.add_argument("--kernel", default="1", help="kernel side, or height,width [1]")
    conv.add_argument("--stride", default="1", help="stride, or two with a comma [1]")
    conv.add_argument("--padding", default="same", help="same, or zeros on each side [same]")
    conv.add_argument("--dilation", default="1", help="dilation, or two with a comma [1]")
    conv.add_argument("--groups", type=int, default=1, help="groups of channels [1]")
    dense = kinds.add_parser("dense", help="a dense layer")
    dense.add_argument("--in", dest="in_features", type=int, required=True, help="input features")
    dense.add_argument("--out", dest="out_features", type=int, required=True, help="output features")
    for kind in (conv, dense):
        kind.add_argument("--batch", type=int, default=1, help="inputs per call [1]")
        kind.add_argument("--bias", action=argparse.BooleanOptionalAction, default=False, help="count biases [no]")
        kind.add_argument("--dtype-bytes", type=int, default=4, help="bytes per number [4]")
        json_option(kind)
    examples(conv, "layer conv2d --height 10 --width 10 --cin 100 --cout 50 --kernel 3")
    examples(dense, "layer dense --batch 1 --in 12800 --out 12800")
    examples(parser, "layer conv2d --help", "layer dense --batch 1 --in 12800 --out 12800")


def layer(args: argparse.Namespace) -> None:
    """Print the counts of a layer."""
    shared: dict[str, Any] = {"batch": args.batch, "bias": args.bias, "dtype_bytes": args.dtype_bytes}
    if args.kind == "dense":
        found = counts(Dense(args.in_features, args.out_features, **shared))
    else:
        pairs: dict[str, Any] = {name: pair(name, getattr(args, name)) for name in ("kernel", "stride", "dilation")}
        padding: Literal["same"] | Pair = "same" if args.padding == "same" else pair("padding", args.padding)
        pairs |= {"padding": padding, "groups": args.groups}
        found = counts(Conv2d(args.height, args.width, args.cin, args.cout, **pairs, **shared))
    (show_json if args.json else show_pairs)(found)


def pair(name: str, value: str) -> Pair:
    """Read ``3`` or ``3,5``.

    Raises
    ------
    AlphaflopsError
        If it is neither.
    """
    try:
        numbers = [int(part) for part in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise AlphaflopsError(f"{name} is {value!r}: give one integer or two with a comma")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def counts(layer: Layer) -> dict[str, Any]:
    """Give all counts of a layer by name."""
    from ..costs.alpha import summary

    names = ("macs", "flops", "params", "bytes_moved", "valid_macs")
    return {name: getattr(layer, name) for name in names} | summary(layer.row())
