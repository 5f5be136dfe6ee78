"""What holds of every small network: sums, shares of the backward pass, and nothing of the caller's is changed."""

import contextlib
import copy
import io
import os
import random
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

from alphaflops.errors import AlphaflopsError
from alphaflops.network import trace
from alphaflops.network.inputs import Shape

WIDTH, BATCH = 5, 3
ONCE = BATCH * WIDTH * WIDTH
"""Products of one layer: three vectors of five numbers times a matrix of five by five."""


class Branches(nn.Module):
    def __init__(self, left, right):
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x):
        return self.left(x) + self.right(x)


class Twice(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(self.inner(x))


class ByFunction(nn.Module):
    """Weights of its own, used without a module; it also remembers what it saw, as caches do."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.seen = []
        self.last = None

    def forward(self, x):
        self.calls += 1
        self.seen.append(x.detach())
        self.last = {"input": x}
        return F.linear(x, self.weight)


class Checkpointed(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return checkpoint(self.inner, x, use_reentrant=False)


PLAIN = [
    lambda: nn.Linear(WIDTH, WIDTH),
    lambda: nn.Linear(WIDTH, WIDTH, bias=False),
    ByFunction,
    nn.ReLU,
    nn.Identity,
    lambda: nn.Dropout(0),
    lambda: nn.Dropout(0.5),
    lambda: nn.BatchNorm1d(WIDTH),
    lambda: nn.LayerNorm(WIDTH),
]


def networks():
    plain = st.sampled_from(PLAIN).map(lambda make: make())
    return st.recursive(
        plain,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: nn.Sequential(*parts)),
            st.tuples(inner, inner).map(lambda pair: Branches(*pair)),
            inner.map(Twice),
        ),
        max_leaves=6,
    )


def by_module(network, phase):
    return Counter(
        {
            name: macs
            for name in {o.module for o in network.operations}
            if (macs := sum(o.macs for o in network.operations if o.module == name and o.phase == phase))
        }
    )


def by_hand(model):
    """Products of each layer in the forward pass, by how often hooks of our own see it called."""
    calls = Counter()
    names = {module: name for name, module in model.named_modules()}
    counted = [m for m in names if isinstance(m, (nn.Linear, ByFunction))]
    handles = [m.register_forward_hook(lambda m, *_: calls.update([names[m]])) for m in counted]
    copied = model(torch.randn(BATCH, WIDTH))
    assert copied.shape == (BATCH, WIDTH)
    for handle in handles:
        handle.remove()
    return Counter({name: n * ONCE for name, n in calls.items()})


def differences(before, now, where="", seen=None):
    """Where two objects differ, looked at as deep as they go."""
    seen = set() if seen is None else seen
    if (id(before), id(now)) in seen:
        return []
    seen.add((id(before), id(now)))
    if type(before) is not type(now):
        return [where]
    if isinstance(before, torch.Tensor):
        same = before.device == now.device and before.requires_grad == now.requires_grad
        same = same and (before.grad is None) == (now.grad is None)
        return [] if same and torch.equal(before, now) else [where]
    if isinstance(before, nn.Module):
        before, now = vars(before), vars(now)
    if isinstance(before, dict):
        if list(before) != list(now):
            return [f"{where}: {sorted(map(str, set(before) ^ set(now)))}"]
        return [d for key in before for d in differences(before[key], now[key], f"{where}.{key}", seen)]
    if isinstance(before, (list, tuple)):
        if len(before) != len(now):
            return [f"{where}: {len(before)} before, {len(now)} now"]
        return [
            d for i, pair in enumerate(zip(before, now, strict=True)) for d in differences(*pair, f"{where}[{i}]", seen)
        ]
    plain = isinstance(before, (int, float, str, bool, type(None), set))
    return [where] if plain and before != now else []


@settings(max_examples=60, deadline=None)
@given(networks(), st.booleans())
def test_sums_shares_and_nothing_changed(model, tensors):
    hand = by_hand(copy.deepcopy(model))
    given_ = torch.randn(BATCH, WIDTH) if tensors else Shape((BATCH, WIDTH))
    trainable = bool(list(model.parameters()))
    before, input_before = copy.deepcopy(model), copy.deepcopy(given_)
    states = torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002
    network = trace(model, [given_], backward=trainable)
    assert not differences(before, model)
    assert not differences(input_before, given_)
    assert tensors or given_ == input_before
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (random.getstate(), str(np.random.get_state()))  # noqa: NPY002

    forward, backward = by_module(network, "forward"), by_module(network, "backward")
    assert forward == hand
    assert sum(forward.values()) + sum(backward.values()) == network.macs
    if trainable:
        assert backward.keys() == forward.keys()
        for name, macs in backward.items():
            # The first layer after the input has no gradient to pass on.
            shares = {n * ONCE for n in range(forward[name] // ONCE, 2 * forward[name] // ONCE + 1)}
            assert macs in shares, name


@settings(max_examples=25, deadline=None)
@given(networks())
def test_checkpointed_layers_run_their_forward_pass_once_more(inner):
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), Checkpointed(inner), nn.Linear(WIDTH, WIDTH))
    hand = by_hand(copy.deepcopy(model))
    before = copy.deepcopy(model)
    network = trace(model, [(BATCH, WIDTH)], backward=True)
    assert not differences(before, model)
    forward, backward = by_module(network, "forward"), by_module(network, "backward")
    assert forward == hand
    for name, macs in forward.items():
        # Twice for the gradients of weights and input; the first layer has no gradient to pass on.
        expected = {"0": macs, "2": 2 * macs}.get(name, 3 * macs)
        # Recomputing stops once all that the backward pass needs is there, so the last layer may be left out.
        assert backward[name] == expected or (name not in "02" and 2 * macs <= backward[name] < expected), name


@settings(max_examples=25, deadline=None)
@given(networks(), st.booleans())
def test_nothing_is_changed_by_a_call_that_fails(inner, backward):
    class Fails(nn.Module):
        def forward(self, x):
            raise KeyError("no such thing")

    model = nn.Sequential(inner, Fails())
    before = copy.deepcopy(model)
    given_ = torch.randn(BATCH, WIDTH)
    kept = given_.clone()
    with pytest.raises(AlphaflopsError, match=r"layer 1 \(Fails\)"):
        trace(model, [given_], backward=backward)
    assert not differences(before, model)
    assert torch.equal(given_, kept)


SEEN: dict = {}
COUNT = 0


def hook_of_a_file(module, inputs, output):
    global COUNT
    COUNT += 1
    SEEN.setdefault("outputs", []).append(output)


def test_variables_of_the_file_that_a_hook_writes_are_put_back():
    model = nn.Linear(WIDTH, WIDTH)
    model.register_forward_hook(hook_of_a_file)
    kept = torch.ones(2)
    SEEN["of the caller"] = [kept]
    network = trace(model, [(BATCH, WIDTH)])
    assert network.macs == ONCE
    assert list(SEEN) == ["of the caller"]
    assert SEEN["of the caller"][0] is kept
    assert COUNT == 0


def test_a_failure_says_which_tuples_were_taken_as_values():
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    shapes = dict.fromkeys(("query", "key", "value"), (1, 4, 8))
    mask = torch.zeros(1, 4, dtype=torch.bool)
    with pytest.raises(AlphaflopsError, match=r"input query is the value \(1, 4, 8\); Shape") as refused:
        trace(layer, {**shapes, "key_padding_mask": mask})
    assert "\n" not in str(refused.value)
    marked = {name: Shape(sizes) for name, sizes in shapes.items()}
    # Four vectors of 8: to 24, scores and values of two heads of 4, and to 8.
    assert trace(layer, {**marked, "key_padding_mask": mask}).macs == 4 * 8 * 24 + 2 * 2 * 4 * 4 * 4 + 4 * 8 * 8


PRINTS = """
import torch
from torch import nn
from alphaflops.network import trace
torch.manual_seed(0)
layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
shared = nn.Linear(16, 16)
model = nn.Sequential(layer, shared, nn.ReLU(), shared, nn.Linear(16, 4))
for o in trace(model, [(2, 3, 16)], backward=True).operations:
    print(o)
"""


@pytest.mark.slow
def test_seeds_of_hashes_do_not_matter():
    with contextlib.redirect_stdout(io.StringIO()) as here:  # whose seed is another each time
        exec(PRINTS, {})
    env = {**os.environ, "PYTHONHASHSEED": "77"}
    there = subprocess.run([sys.executable, "-c", PRINTS], env=env, capture_output=True, text=True, check=True)
    assert here.getvalue().count("\n") > 50
    assert there.stdout == here.getvalue()
