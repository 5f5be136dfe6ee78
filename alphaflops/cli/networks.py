"""``alphaflops estimate``: what a network costs."""

import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path

from .output import examples, json_option, show, show_json, show_table

COLUMNS = ("module", "operator", "macs", "bytes", "predicted_ms", "low_ms", "high_ms", "source", "energy_j")
SORTS = ("order", "predicted", "macs", "bytes")


def estimate_options(parser: argparse.ArgumentParser) -> None:
    """Add the factory, its inputs and the machine."""
    parser.add_argument("factory", metavar="PACKAGE.MODULE:FACTORY", help="what builds the network")
    text = "shape of an input, such as 1,3,224,224, 1,128:int64 or name=1,128 (repeatable)"
    parser.add_argument("--input", dest="inputs", action="append", required=True, metavar="SHAPE", help=text)
    parser.add_argument("--kwargs", metavar="JSON", help="arguments of the factory, as a JSON object")
    parser.add_argument("--calibration", metavar="NAME", help="machine to predict for: a name or a file")
    parser.add_argument("--energy", metavar="NAME", help="calibration that gives joules: a name or a file")
    parser.add_argument("--training", action="store_true", help="forward and backward pass")
    parser.add_argument("--sort", choices=SORTS, default="order", help="order of execution, or largest first [order]")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table here")
    json_option(parser)
    examples(
        parser,
        "estimate alphaflops.prediction.zoo:resnet50 --input 1,3,224,224 --calibration cpu-1core",
        """estimate my_models:net --kwargs '{"width": 64}' --input 1,3,64,64 --json""",
    )


def estimate(args: argparse.Namespace) -> None:
    """Estimate what a factory builds."""
    from ..prediction import estimate_factory

    with redirect_stdout(sys.stderr):  # what a factory or network prints is not part of the answer
        report = estimate_factory(
            args.factory,
            args.inputs,
            args.kwargs,
            args.calibration,
            training=args.training,
            energy=args.energy,
        )
    if args.csv is not None:
        report.to_csv(args.csv, args.sort)
    if args.json:
        show_json(report.to_json())
        return
    known = report.table[list(COLUMNS)].notna().any()
    table = report.to_pandas(args.sort)[[name for name in COLUMNS if known[name]]]
    show_table(
        f"{report.network.name}: {report.calibration or 'counts only'}", list(table.columns), table.to_numpy().tolist()
    )
    for note in report.notes:
        show(note)
    show(report)
