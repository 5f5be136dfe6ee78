"""``alphaflops layer``, ``score``, ``fit``, ``compare``, ``claims``: a layer counted, formulas and claims on runs."""

import argparse
from pathlib import Path
from typing import Any

from ..errors import AlphaflopsError
from .output import cell, examples, json_option, show, show_json, show_pairs, show_table

SIZES = (("height", "input height"), ("width", "input width"), ("cin", "input channels"), ("cout", "output channels"))
QUANTITIES = ("latency", "throughput")
SEEDS = 2**32


def layer_options(parser: argparse.ArgumentParser) -> None:
    """Add ``conv2d`` and ``dense`` with their options."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND", parser_class=type(parser))
    conv = kinds.add_parser("conv2d", help="a two-dimensional convolution")
    for name, text in SIZES:
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
    from ..costs.alpha import summary
    from ..layers import Conv2d, Dense

    shared: dict[str, Any] = {"batch": args.batch, "bias": args.bias, "dtype_bytes": args.dtype_bytes}
    if args.kind == "dense":
        found: Conv2d | Dense = Dense(args.in_features, args.out_features, **shared)
    else:
        shared |= {name: pair(name, getattr(args, name)) for name in ("kernel", "stride", "dilation")}
        shared |= {"padding": "same" if args.padding == "same" else pair("padding", args.padding)}
        found = Conv2d(args.height, args.width, args.cin, args.cout, groups=args.groups, **shared)
    names = ("macs", "flops", "params", "bytes_moved", "valid_macs")
    counts = {name: getattr(found, name) for name in names} | summary(found.row())
    (show_json if args.json else show_pairs)(counts)


def pair(name: str, value: str) -> int | tuple[int, int]:
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


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < SEEDS:
        raise argparse.ArgumentTypeError(f"{value} is not between 0 and {SEEDS - 1}")
    return value


def _quantity(parser: argparse.ArgumentParser, *also: str) -> None:
    text = "which time, or joules [latency]" if also else "which time [latency]"
    parser.add_argument("--quantity", choices=(*QUANTITIES, *also), default="latency", help=text)
    json_option(parser)


def _model(parser: argparse.ArgumentParser) -> None:
    from ..costs import MODEL_NAMES, OURS

    parser.add_argument("run", help="name, folder or CSV file")
    text = f"cost formula: {', '.join(MODEL_NAMES)} [{OURS.name}]"
    parser.add_argument("--model", choices=MODEL_NAMES, default=OURS.name, metavar="MODEL", help=text)
    parser.add_argument("--seed", type=_seed, default=0, help="seed of folds and starts [0]")


def score_options(parser: argparse.ArgumentParser) -> None:
    """Add the run, the formula and how layers are held out."""
    _model(parser)
    text = "held-out layers: random folds, one figure at a time, or a fifth of the range of MACs or of rows"
    parser.add_argument("--cv", choices=("random", "figure", "macs", "rows"), help=text)
    _quantity(parser)
    examples(parser, "score paper-t2000 --model alpha-published", "score cpu-1core --cv figure --json")


def score(args: argparse.Namespace) -> None:
    """Score a formula."""
    from ..fitting import score as scored
    from ..runs.datasets import load

    found = scored(load(args.run), args.model, args.cv, quantity=args.quantity, seed=args.seed).as_dict()
    if args.json:
        show_json(found)
        return
    per, parameters, flags = (found.pop(name) for name in ("per_experiment", "parameters", "flags"))
    show_pairs({name: "in sample" if name == "cv" and value is None else value for name, value in found.items()})
    columns = ("experiment", "layers", "MAPE %", "median APE %")
    show_table("By experiment", columns, [[k, *v.values()] for k, v in per.items()])
    if parameters:
        show_table("Parameters", ("name", "value"), list(parameters.items()))
    for flag in flags:
        show(f"note: {flag}")


def fit_options(parser: argparse.ArgumentParser) -> None:
    """Add the run, the formula and the file."""
    _model(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the calibration here")
    _quantity(parser, "energy")
    examples(parser, "fit cpu-1core", "fit my-gpu --out my-gpu.json")


def fit(args: argparse.Namespace) -> None:
    """Fit a formula."""
    from ..fitting import fit as fitted
    from ..fitting.calibration import check_saved
    from ..prediction.estimating import ENERGY, calibrate_energy
    from ..runs.datasets import load

    if args.out is not None:
        check_saved(args.model)
    run = load(args.run)
    if args.quantity == ENERGY:
        found = calibrate_energy(run, args.model, seed=args.seed)
    else:
        found = fitted(run, args.model, quantity=args.quantity, seed=args.seed)
    if args.out is not None:
        found.save(args.out)
    if args.json:
        show_json(found.as_dict())
        return
    columns = ("value", "low", "high", "unit", "meaning")
    rows = [[name, *(p[key] for key in columns)] for name, p in found.parameters.items()]
    show_table(f"{args.model} on {args.run}", ("parameter", *columns), rows)
    for flag in found.flags:
        show(f"note: {flag}")
    for kind, errors in found.scores.items():
        known = [[k, v] for k, v in errors.items() if v is not None]
        show_table(f"Errors, {kind.replace('_', ' ')}", ("measure", "value"), known)


def compare_options(parser: argparse.ArgumentParser) -> None:
    """Add the runs."""
    parser.add_argument("runs", nargs="+", help="two or more names, folders or CSV files")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one page to send")
    _quantity(parser)
    examples(parser, "compare paper-t2000 cpu-1core cpu-allcores", "compare paper-t2000 my-gpu --html comparison.html")


def compare(args: argparse.Namespace) -> None:
    """Compare runs with the first."""
    from ..fitting.comparison import compare as compared
    from ..runs.datasets import load

    rows = compared([load(run) for run in args.runs], args.quantity)
    if args.html is not None:
        from ..book.publish import page

        page(args.runs, args.html)
    if args.json:
        show_json(rows)
        return
    cells = [[name, *(row[name] for row in rows)] for name in rows[0] if name != "run"]
    show_table(f"{args.quantity} beside {args.runs[0]}", ("", *(row["run"] for row in rows)), cells)


def claims_options(parser: argparse.ArgumentParser) -> None:
    """Add the runs."""
    parser.add_argument("runs", nargs="*", help="names, folders or CSV files [the book's]")
    json_option(parser)
    examples(parser, "claims", "claims my-gpu --json")


def claims(args: argparse.Namespace) -> None:
    """Judge the claims; thresholds were fixed beforehand and are in the JSON output."""
    from ..claims import judge, row
    from ..runs.datasets import at_hand, authors, load

    loaded = [load(run) for run in args.runs or at_hand("development")]
    theirs = authors()
    rows = [row(verdict) for run in loaded for verdict in judge(run, authors=theirs)]
    if args.json:
        show_json(rows)
        return
    for run in dict.fromkeys(entry["run"] for entry in rows):
        own = [entry for entry in rows if entry["run"] == run]
        cells = [[entry["text"], entry["statistic"], _value(entry), entry["verdict"]] for entry in own]
        show_table(f"{own[0]['machine']} ({run})", ("claim", "statistic", "value", "verdict"), cells)


def _value(row: dict[str, Any]) -> str:
    return str(row["reason"]) if row["value"] is None else f"{cell(float(row['value']))} {row['unit']}".rstrip()
