"""Compare counters of MACs and FLOPs on the networks of the book, each in its own process.

    pip install -r benchmarks/requirements.txt
    python benchmarks/counters.py --out data/networks/counters.csv

One row per network and tool: what the tool calls its number, the number, its ratio to this library's MACs, the time of
a warm call (s), the extra peak memory of the process (MB), what it leaves on the model, and its version. A tool that is
not installed or fails keeps its row, with the reason.
"""

import argparse
import csv
import json
import resource
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version

TOOLS = {
    "alphaflops": "alphaflops",
    "FlopCounterMode": "torch",
    "fvcore": "fvcore",
    "ptflops": "ptflops",
    "thop": "thop",
    "torchinfo": "torchinfo",
}
CALLS_ITS_NUMBER = {
    "alphaflops": "macs",
    "FlopCounterMode": "flops",
    "fvcore": "flops",
    "ptflops": "macs",
    "thop": "flops",
    "torchinfo": "mult-adds",
}
FIELDS = ("network", "tool", "version", "name", "count", "ratio_to_macs", "warm_s", "extra_mb", "left_behind", "error")


def count(tool, model, shape):
    """Count with one tool, as its documentation shows."""
    import torch

    if tool == "alphaflops":
        from alphaflops.network import trace

        return trace(model, shape).macs
    device = "meta" if tool == "FlopCounterMode" else "cpu"
    tensor = torch.zeros(shape.sizes, dtype=getattr(torch, shape.dtype or "float32"), device=device)
    if tool == "FlopCounterMode":
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(tensor)
        return counter.get_total_flops()
    if tool == "fvcore":
        from fvcore.nn import FlopCountAnalysis

        return FlopCountAnalysis(model, tensor).unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
    if tool == "ptflops":
        from ptflops import get_model_complexity_info

        return get_model_complexity_info(
            model,
            shape.sizes,
            input_constructor=lambda _: tensor if tensor.is_floating_point() else {"input_ids": tensor},
            as_strings=False,
            print_per_layer_stat=False,
            verbose=False,
        )[0]
    if tool == "thop":
        from thop import profile

        return profile(model, (tensor,), verbose=False)[0]
    from torchinfo import summary

    return summary(model, input_data=tensor, verbose=0).total_mult_adds


def state(model):
    """Hooks, buffers and attributes of all modules."""
    return {
        (name, key)
        for name, module in model.named_modules()
        for key in [
            *vars(module),
            *module._buffers,
            *map(str, module._forward_hooks),
            *map(str, module._forward_pre_hooks),
        ]
    }


def one(network, tool):
    """Run one tool on one network in this process and give its row."""
    import torch

    from alphaflops import __version__
    from alphaflops.prediction.zoo import NETWORKS

    torch.set_num_threads(1)
    make, shape = NETWORKS[network]
    row = {"network": network, "tool": tool, "name": CALLS_ITS_NUMBER[tool]}
    try:
        row["version"] = __version__ if tool == "alphaflops" else version(TOOLS[tool])
    except PackageNotFoundError:
        return row | {"error": "not installed"}
    model = make().eval()
    if tool == "FlopCounterMode":
        model = model.to("meta")
    before, peak = state(model), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        count(tool, model, shape)
        row["extra_mb"] = round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024)
        row["left_behind"] = len(state(model) - before)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            row["count"] = int(count(tool, model, shape))
            times.append(time.perf_counter() - start)
    except Exception as error:
        return row | {"error": f"{type(error).__name__}: {error}".splitlines()[0][:120]}
    from alphaflops.network import trace

    return row | {
        "warm_s": round(sorted(times)[2], 4),
        "ratio_to_macs": round(row["count"] / trace(model, shape).macs, 4),
    }


def main():
    """Start one process per network and tool, and write the table."""
    from alphaflops.prediction.zoo import NETWORKS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="counters.csv")
    parser.add_argument("--one", nargs=2, metavar=("NETWORK", "TOOL"))
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(*options.one)))
        return
    with open(options.out, "w", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, restval="", lineterminator="\n")
        writer.writeheader()
        for network in NETWORKS:
            for tool in TOOLS:
                done = subprocess.run(
                    [sys.executable, __file__, "--one", network, tool], capture_output=True, text=True, check=False
                )
                lines = done.stdout.strip().splitlines()
                fallback = {
                    "network": network,
                    "tool": tool,
                    "error": done.stderr.strip().splitlines()[-1:] or "stopped",
                }
                row = json.loads(lines[-1]) if done.returncode == 0 and lines else fallback
                writer.writerow(row)
                print(row, flush=True)


if __name__ == "__main__":
    main()
