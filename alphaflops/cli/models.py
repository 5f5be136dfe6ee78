"""``alphaflops layer, estimate, score, fit, compare, claims``: one layer, a network, formulas and claims on runs."""

import argparse
import sys
from contextlib import redirect_stdout
from dataclasses import fields
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from ..errors import AlphaflopsError
from . import cell, json_option, show, show_json, show_pairs, show_table

PAIRS = {"kernel": "kernel side, or height,width", "stride": "stride, or two", "dilation": "dilation, or two"}
SHOWN = ("module", "operator", "macs", "bytes", "predicted_ms", "low_ms", "high_ms", "source")


def layer_options(parser: argparse.ArgumentParser) -> None:
    """Add ``conv2d`` and ``dense`` with their options, which bear the names of the fields of a spec."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND", parser_class=type(parser))
    conv = kinds.add_parser("conv2d", help="a two-dimensional convolution")
    size: dict[str, Any] = {"type": int, "required": True, "metavar": "N"}
    conv.add_argument("--height", help="input height", **size)
    conv.add_argument("--width", help="input width", **size)
    conv.add_argument("--cin", dest="in_channels", help="input channels", **size)
    conv.add_argument("--cout", dest="out_channels", help="output channels", **size)
    for name, text in PAIRS.items():
        conv.add_argument(f"--{name}", type=partial(pair, name), default="1", help=f"{text} with a comma [1]")
    conv.add_argument("--padding", type=partial(pair, "padding"), default="same", help="same, or zeros per side [same]")
    conv.add_argument("--groups", type=int, default=1, help="groups of channels [1]")
    dense = kinds.add_parser("dense", help="a dense layer")
    dense.add_argument("--in", dest="in_features", help="input features", **size)
    dense.add_argument("--out", dest="out_features", help="output features", **size)
    for kind in (conv, dense):
        kind.add_argument("--batch", type=int, default=1, help="inputs per call [1]")
        kind.add_argument("--bias", action=argparse.BooleanOptionalAction, default=False, help="count biases [no]")
        kind.add_argument("--dtype-bytes", type=int, default=4, help="bytes per number [4]")
        json_option(kind)


def layer(args: argparse.Namespace) -> None:
    """Count one layer: MACs, FLOPs (2 per MAC), bytes, alpha-FLOPs, published time.

    Examples
    --------
    alphaflops layer conv2d --height 10 --width 10 --cin 100 --cout 50 --kernel 3
    alphaflops layer dense --batch 1 --in 12800 --out 12800
    """
    from ..costs.alpha import alpha_flops, published_ms
    from ..layers import Conv2d, Dense

    kind: Any = Conv2d if args.kind == "conv2d" else Dense
    found = kind(**{field.name: getattr(args, field.name) for field in fields(kind)})
    names = ("macs", "flops", "params", "bytes_moved", "valid_macs")
    counts, weighted = {name: getattr(found, name) for name in names}, float(alpha_flops(found)[0])
    counts |= {"alpha": weighted / found.flops, "alpha_flops": weighted, "published_ms": float(published_ms(found)[0])}
    (show_json if args.json else show_pairs)(counts)


def pair(name: str, text: str) -> Any:
    """Read ``3`` or ``3,5``, or ``same`` for a padding.

    Raises
    ------
    AlphaflopsError
        If it is none of these.
    """
    if (name, text) == ("padding", "same"):
        return text
    try:
        numbers = tuple(map(int, text.split(",")))
    except ValueError as error:
        raise AlphaflopsError(f"{name} is {text!r}: give one integer or two with a comma") from error
    return numbers if len(numbers) > 1 else numbers[0]


def estimate_options(parser: argparse.ArgumentParser) -> None:
    """Add the factory, its inputs and the machine."""
    parser.add_argument("factory", metavar="PACKAGE.MODULE:FACTORY", help="what builds the network")
    text = "shape of an input, such as 1,3,224,224, 1,128:int64 or name=1,128 (repeatable)"
    parser.add_argument("--input", dest="inputs", action="append", required=True, metavar="SHAPE", help=text)
    parser.add_argument("--kwargs", metavar="JSON", default="{}", help="arguments of the factory, as a JSON object")
    parser.add_argument("--calibration", metavar="NAME", help="machine to predict for: a name or a file")
    parser.add_argument("--training", action="store_true", help="forward and backward pass")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table here")
    json_option(parser)


def estimate(args: argparse.Namespace) -> None:
    """Count a network and predict its time per layer, without running it.

    Examples
    --------
    alphaflops estimate alphaflops.prediction.zoo:resnet50 --input 1,3,224,224 --calibration cpu-1core
    alphaflops estimate my_models:net --kwargs '{"width": 64}' --input 1,3,64,64 --json
    """
    from ..prediction import estimate_factory

    with redirect_stdout(sys.stderr):  # what a factory or network prints is not part of the answer
        report = estimate_factory(args.factory, args.inputs, args.kwargs, args.calibration, training=args.training)
    if args.csv is not None:
        report.to_csv(args.csv)
    if args.json:
        show_json(report.to_json())
        return
    table = report.table[list(SHOWN)].dropna(axis="columns", how="all")
    title = f"{report.network.name}: {report.calibration or 'counts only'}"
    show_table(title, list(table.columns), table.to_numpy().tolist())
    show("\n".join((*report.notes, str(report))))


def _run(parser: argparse.ArgumentParser) -> None:
    from ..costs import MODEL_NAMES, OURS

    parser.add_argument("run", help="name, folder or CSV file")
    text = f"cost formula: {', '.join(MODEL_NAMES)} [{OURS.name}]"
    parser.add_argument("--model", choices=MODEL_NAMES, default=OURS.name, metavar="MODEL", help=text)


def _quantity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quantity", choices=("latency", "throughput"), default="latency", help="which time [latency]")
    json_option(parser)


def score_options(parser: argparse.ArgumentParser) -> None:
    """Add the run, the formula and how layers are held out."""
    _run(parser)
    text = "held-out layers: random folds, one figure at a time, or a fifth of the range of MACs or of rows"
    parser.add_argument("--cv", choices=("random", "figure", "macs", "rows"), help=text)
    _quantity(parser)


def score(args: argparse.Namespace) -> None:
    """Score a cost formula on a run: errors of predicted against measured times.

    Examples
    --------
    alphaflops score paper-t2000 --model alpha-published
    alphaflops score cpu-1core --cv figure --json
    """
    from ..fitting import score as scored
    from ..runs.datasets import load

    found = scored(load(args.run), args.model, args.cv, quantity=args.quantity).as_dict()
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
    _run(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the calibration here")
    _quantity(parser)


def fit(args: argparse.Namespace) -> None:
    """Fit a cost formula to a run and keep it as a calibration.

    Examples
    --------
    alphaflops fit cpu-1core
    alphaflops fit my-gpu --out my-gpu.json
    """
    from ..fitting import fit as fitted
    from ..runs.datasets import load

    found = fitted(load(args.run), args.model, args.quantity)
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


def compare(args: argparse.Namespace) -> None:
    """Compare runs: speed on shared layers, call overhead, errors of each formula.

    Examples
    --------
    alphaflops compare paper-t2000 cpu-1core cpu-2core
    alphaflops compare paper-t2000 my-gpu --html comparison.html
    """
    from ..fitting.validate import compare as compared
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


def claims(args: argparse.Namespace) -> None:
    """Judge the claims of the paper and of its replication on runs.

    Examples
    --------
    alphaflops claims
    alphaflops claims my-gpu --json
    """
    from ..chapters.judged import verdicts
    from ..runs.datasets import at_hand, load

    found = verdicts([load(run) for run in args.runs or at_hand("development")])
    rows: list[Any] = found.astype(object).where(found.notna(), None).to_dict("records")
    if args.json:
        show_json(rows)
        return
    for (machine, run), own in groupby(rows, itemgetter("machine", "run")):
        cells = [[entry["text"], entry["statistic"], _value(entry), entry["verdict"]] for entry in own]
        show_table(f"{machine} ({run})", ("claim", "statistic", "value", "verdict"), cells)


def _value(row: dict[str, Any]) -> str:
    return str(row["reason"]) if row["value"] is None else f"{cell(float(row['value']))} {row['unit']}".rstrip()
