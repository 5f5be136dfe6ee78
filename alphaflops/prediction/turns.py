"""Time cases in turns, as a network runs its operators: inputs just written, everything else long ago.

A layer that is timed call after call finds weights and buffers in the cache and its code in the processor. In a network
hundreds of other operators run in between. Here every round takes all cases in a new random order; before each timed
call only its inputs are written, as the operator before it would.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..layers import Layer
from ..measuring.device import Device, layer_call

ROUNDS: Final = 4
"""Timed rounds; one more comes before them, to warm up."""


@dataclass(frozen=True)
class Case:
    """One call to time, and the tensors that are written before it."""

    call: Callable[[], Any]
    inputs: tuple[Any, ...] = ()

    def refresh(self) -> None:
        """Write the inputs; their values stay normal numbers."""
        for tensor in self.inputs:
            tensor.neg_()


def layer_case(torch: Any, layer: Layer, device: str) -> Case:
    """Make a layer with weights of its own."""
    call, x = layer_call(layer, lambda _role, shape, dtype: torch.randn(shape, dtype=dtype, device=device))
    return Case(call, (x,))


def in_turns(device: Device, cases: Sequence[Case], *, rounds: int = ROUNDS, seed: int = 0) -> NDArray[np.float64]:
    """Median time of each case over rounds in random order, shape ``(n,)`` (ms).

    Parameters
    ----------
    device : Device
        Where the cases run.
    cases : sequence of Case
        What to time.
    rounds : int
        Timed calls of each case.
    seed : int
        Of the orders.
    """
    order, shuffle = list(range(len(cases))), random.Random(seed).shuffle
    times = np.empty((rounds + 1, len(cases)))
    for taken in times:
        shuffle(order)
        for i in order:
            cases[i].refresh()
            taken[i] = device.calls_ns(cases[i].call, 1)[0] / 1e6
    return np.asarray(np.median(times[1:], axis=0))
