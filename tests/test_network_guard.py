"""Nobody's network or inputs are changed, whatever they hold; and each situation of users has its right count."""

import copy
import itertools
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from alphaflops import estimate
from alphaflops.errors import AlphaflopsError
from alphaflops.network import trace
from alphaflops.network.inputs import Shape, normalise

SEEN: dict = {}


class Call(nn.Module):
    def __init__(self, function, *layers):
        super().__init__()
        self.layers, self.function = nn.ModuleList(layers), function

    def forward(self, *inputs, **options):
        return self.function(*self.layers, *inputs, **options)


class Keeps(nn.Module):
    """Leaves something behind in every place that Python has."""

    shared: list = []  # noqa: RUF012

    def __init__(self, reads):
        super().__init__()
        self.first, self.norm, self.reads = nn.Linear(4, 4), nn.BatchNorm1d(4), reads
        self.lock, self.state, self.steps, self.table = threading.Lock(), None, deque(), np.zeros(2)
        self.generator = torch.Generator()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        with self.lock:
            self.calls += 1
            self.table += 1
            self.state = x if self.state is None else self.state + x
            self.steps.append(x)
            SEEN["last"] = x
            type(self).shared.append(x)
            torch.rand(1, generator=self.generator)
            y = self.norm(self.first(x))
            with torch.no_grad():
                self.first.weight.mul_(0.5)
            return y if not self.reads or float(y.detach().sum()) < 1e30 else -y


def held(value, known=None):
    """Everything that can be compared about an object and what it holds."""
    known = {} if known is None else known
    if id(value) in known:
        return known[id(value)]
    known[id(value)] = len(known)
    if isinstance(value, torch.Tensor):
        return (id(value), str(value.device), value.requires_grad, value.grad is None, value.tolist())
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return [(key, held(part, known)) for key, part in value.items()]
    if isinstance(value, (list, tuple, deque)):
        return [type(value), *(held(part, known) for part in value)]
    return [id(value), held(vars(value), known)] if hasattr(value, "__dict__") and not callable(value) else repr(value)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_everything_that_a_network_holds_is_put_back(reads, fails, training):
    counted, count = {}, 0

    def hook(module, inputs, output):
        nonlocal count
        count += 1
        counted[count] = output
        if fails:
            raise ValueError("hook")

    model = Keeps(reads).train()
    model.norm.register_forward_hook(hook)
    inner = model.forward
    model.forward = lambda *given: inner(*given).float()
    inputs = {"x": torch.ones(3, 4)}
    before = held([model.__dict__, model.first.__dict__, model.norm.__dict__, inputs, SEEN, Keeps.shared])
    if fails:
        with pytest.raises(AlphaflopsError, match=r"layer at the top \(Keeps\) was given \(3, 4\): ValueError: hook"):
            trace(model, [inputs["x"]], backward=training)
    else:
        # 3 vectors of 4 to 4, and the gradient of the weight
        assert trace(model, [inputs["x"]], backward=training).macs == 48 * (2 if training else 1)
    assert held([model.__dict__, model.first.__dict__, model.norm.__dict__, inputs, SEEN, Keeps.shared]) == before
    assert (counted, count) == ({}, 0)
    assert not model.lock.locked()


@dataclass
class Cache:
    past: torch.Tensor


def test_caches_among_the_inputs_stay_as_they_were():
    cache = Cache(torch.ones(2, 4))
    past = cache.past

    def step(layer, x, cache):
        cache.past = torch.cat([cache.past, x])
        return layer(cache.past)

    for _ in range(2):
        # one vector beside the two that are kept
        assert trace(Call(step, nn.Linear(4, 4)), [torch.ones(1, 4), cache]).macs == 3 * 16
    assert cache.past is past


def test_iterators_that_cannot_be_put_back_are_named():
    class Counts(nn.Linear):
        def forward(self, x):
            next(self.steps)
            return super().forward(x)

    model = Counts(4, 4)
    model.steps = itertools.count()
    assert any("not protected from the call: count" in note for note in trace(model, (2, 4)).notes)


COUNTS = {
    # queries shared by a batch of 4: two products of 10·12·16 for each of 4·8 heads
    "broadcast query": (
        Call(F.scaled_dot_product_attention),
        [(1, 8, 10, 16), (4, 8, 12, 16), (4, 8, 12, 16)],
        2 * 4 * 8 * 10 * 12 * 16,
    ),
    # two heads of keys for four of queries
    "grouped queries": (
        Call(lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True)),
        [(1, 4, 5, 8), (1, 2, 7, 8)],
        2 * 4 * 5 * 7 * 8,
    ),
    # three real products for each complex one
    "complex convolution": (
        nn.Conv2d(16, 8, 1, bias=False, dtype=torch.complex64),
        [Shape((2, 16, 5, 5))],
        3 * 2 * 25 * 16 * 8,
    ),
    "complex product": (nn.Linear(16, 8, bias=False, dtype=torch.complex64), ["50,16:complex64"], 3 * 50 * 16 * 8),
    # a number in a log line
    "formatted": (Call(lambda f, x: (f"{x.mean():.3f}", f(x))[1], nn.Linear(8, 4)), [(5, 8)], 160),
    "yields": (Call(lambda f, x: (f(x) for _ in range(3)), nn.Linear(8, 8)), [(4, 8)], 3 * 4 * 64),
    "scalar": (Call(lambda f, x, t: f(x) * t, nn.Linear(8, 8)), [(2, 8), ()], 128),
    "list of images": (
        Call(lambda f, xs: [f(x) for x in xs], nn.Conv2d(3, 8, 3, padding=1)),
        [[(1, 3, 8, 8), (1, 3, 4, 4)]],
        (64 + 16) * 24 * 9,
    ),
    "text": (
        Call(lambda f, x, mode: F.interpolate(f(x), scale_factor=2, mode=mode), nn.Conv2d(3, 8, 3, padding=1)),
        ["1,3,8,8", "bilinear"],
        64 * 24 * 9,
    ),
    "nested, strided": (
        Call(lambda f, a, b: f(torch.nested.nested_tensor([a, b])).to_padded_tensor(0.0), nn.Linear(8, 4)),
        [(2, 8), (3, 8)],
        5 * 32,
    ),
    "data parallel": (nn.DataParallel(nn.Linear(8, 4)), [(5, 8)], 160),
    "packed sequence": (
        nn.LSTM(8, 16),
        [nn.utils.rnn.pack_padded_sequence(torch.randn(7, 3, 8), [7, 4, 2])],
        13 * 64 * 24,
    ),
}


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature", "ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("name", COUNTS)
def test_counts_by_hand(name):
    model, inputs, by_hand = COUNTS[name]
    assert trace(model, inputs).macs == by_hand


def test_half_networks_get_half_inputs():
    (only,) = trace(nn.Linear(8, 8, bias=False).half(), (4, 8)).operations
    assert only.bytes == 2 * (32 + 64 + 32)


def test_lists_of_integers_are_values_and_a_marker_makes_a_shape():
    def exits(layer, x, which):
        return [layer(x) for i in range(4) if i in which]

    network = trace(Call(exits, nn.Linear(8, 8)), [torch.ones(4, 8), [1, 3]])
    assert network.macs == 2 * 4 * 64
    assert network.notes[0].startswith("input 1 is the value [1, 3]; Shape([1, 3]) would make a tensor")
    # beside a tensor a tuple is a value too; alone it is a shape
    assert normalise({"x": torch.ones(2), "size": (16, 16)})[1]["size"] == (16, 16)
    assert normalise({"x": "2", "size": (16, 16)})[1]["size"] == Shape((16, 16))
    assert normalise([torch.ones(2), Shape([3, 4], "int64")])[0][1] == Shape((3, 4), "int64")
    with pytest.raises(AlphaflopsError, match="give non-negative integers"):
        Shape((2, -1))


def test_threads_are_told():
    def both(first, second, x):
        with ThreadPoolExecutor(2) as pool:
            a, b = pool.map(lambda f: f(x), (first, second))
        return a + b

    network = trace(Call(both, nn.Linear(8, 8), nn.Linear(8, 8)), (4, 8))
    assert any("no operator used 4 of 4 parameters (layers.0.weight" in note for note in network.notes)


@pytest.mark.parametrize("name", ["mm", "embedding", "scaled_dot_product_attention"])
def test_custom_operators_are_not_taken_for_others_of_their_name(name):
    operator = torch.library.custom_op(
        f"afguard::{name}", lambda x, w: x @ w, mutates_args=(), schema="(Tensor x, Tensor w) -> Tensor"
    )
    operator.register_fake(lambda x, w: x.new_empty(x.shape[0], w.shape[1]))
    network = trace(Call(operator), [(5, 8), (8, 3)])
    assert network.unknown == (f"afguard::{name}",)


def test_deformable_convolutions_count_their_taps():
    """By the schema of torchvision's operator, which needs not be here."""
    from alphaflops.network.formulas import FORMULAS

    given_ = {
        "input": torch.empty(1, 64, 9, 9),
        "weight": torch.empty(32, 64, 3, 3),
        "offset": torch.empty(1, 18, 7, 7),
    }
    (one,) = FORMULAS["torchvision::deform_conv2d"]({**given_, "groups": 1})
    assert one.layer.macs == 49 * 64 * 32 * 9


def test_draws_that_decide_are_told():
    def draws(layer, x):
        for _ in range(int(torch.randint(1, 5, (1,)))):
            x = layer(x)
        return x

    notes = trace(Call(draws, nn.Linear(4, 4)), (2, 4)).notes
    assert "random numbers decided what ran: the count is that of one draw" in notes


@pytest.mark.parametrize("device", ["own", "cpu", "cuda"])
@pytest.mark.filterwarnings("ignore:User provided device_type")
def test_mixed_precision_holds_whatever_device_it_names(device):
    def mixed(layer, x):
        with torch.autocast(x.device.type if device == "own" else device, dtype=torch.bfloat16):
            return layer(x)

    network = trace(Call(mixed, nn.Conv2d(4, 4, 3, bias=False)), (1, 4, 8, 8))
    (product,) = [o for o in network.operations if o.macs]
    assert product.bytes == 2 * (4 * 64 + 4 * 36 + 4 * 36)
    assert product.layers[0].layer.dtype_bytes == 2


def test_one_encoder_has_one_list_of_products():
    layer = nn.TransformerEncoderLayer(8, 2, 32, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    reads = Call(lambda f, x: f(x) if float(x.sum()) < 1e30 else x, encoder).eval()
    seen = [
        sorted((repr(one.layer), one.count) for o in trace(m, (2, 5, 8)).operations for one in o.layers)
        for m in (encoder, reads)
    ]
    assert seen[0] == seen[1]


def test_training_a_recurrent_layer_has_one_count():
    lstm = nn.LSTM(8, 16)
    reads = Call(lambda f, x: f(x)[0] if float(x.sum()) < 1e30 else x, lstm).train()
    assert trace(lstm.train(), (7, 3, 8), backward=True).macs == trace(reads, (7, 3, 8), backward=True).macs


class Block(nn.Module):
    def __init__(self, wide):
        super().__init__()
        self.up, self.down = nn.Linear(8, wide, bias=False), nn.Linear(wide, 8, bias=False)

    def forward(self, x):
        return x + self.down(F.gelu(self.up(x)))


@pytest.mark.parametrize("reentrant", [False, True])
def test_layers_that_run_again_keep_their_work(reentrant):
    def forward(first, one, other, x):
        x = first(x)
        for block in (one, other):
            x = torch.utils.checkpoint.checkpoint(block, x, use_reentrant=reentrant)
        return x

    model = Call(forward, nn.Linear(8, 8), Block(16), Block(64)).train()
    sums = estimate(model, (4, 8), training=True).by_module().set_index("module")["macs"]
    # forward, once more, two gradients; without reentering, the last product is not needed again
    last = 4 if reentrant else 3
    wanted = [4 * 512, last * 512, 4 * 2048, last * 2048]
    assert [sums[f"layers.{i}.{part}"] for i in (1, 2) for part in ("up", "down")] == wanted


@pytest.mark.filterwarnings(
    "ignore:torch.ao.quantization is deprecated", "ignore:Please use quant_min", "ignore:torch.quantize_per_tensor"
)
def test_quantized_layers_are_counted():
    quantization = pytest.importorskip("torch.ao.quantization")
    static = nn.Sequential(quantization.QuantStub(), nn.Conv2d(3, 8, 3, padding=1), quantization.DeQuantStub()).eval()
    static.qconfig = quantization.get_default_qconfig("x86")
    quantization.prepare(static, inplace=True)
    static(torch.randn(2, 3, 16, 16))
    quantization.convert(static, inplace=True)
    dynamic = quantization.quantize_dynamic(nn.Sequential(nn.Linear(16, 32)).eval(), {nn.Linear}, dtype=torch.qint8)
    assert trace(static, (2, 3, 16, 16)).macs == 2 * 256 * 24 * 9
    found = trace(dynamic, (4, 16))
    assert (found.macs, found.params) == (4 * 16 * 32, 16 * 32 + 32)


KINDS = ("linear", "shared", "branch", "identity", "dropout", "function", "list")


class Net(nn.Module):
    """A small network of parts of many kinds; none but the first layer sees an input that needs no gradient."""

    def __init__(self, kinds):
        super().__init__()
        self.kinds, self.first, self.common = kinds, nn.Linear(4, 4), nn.Linear(4, 4)
        self.parts = nn.ModuleDict({f"{i}{kind}": self.part(kind) for i, kind in enumerate(kinds)})

    def part(self, kind):
        made = {"identity": nn.Identity, "dropout": lambda: nn.Dropout(0.0), "shared": nn.Identity}
        if kind == "list":
            return nn.ModuleList([nn.Linear(4, 6), nn.Linear(6, 4)])
        return made.get(kind, lambda: nn.Linear(4, 4))()

    def forward(self, x):
        x = self.first(x)
        for kind, part in zip(self.kinds, self.parts.values(), strict=True):
            if kind == "shared":
                x = self.common(x)
            elif kind == "branch":
                x = x + part(x.relu())
            elif kind == "function":
                x = F.linear(x, part.weight, part.bias)
            elif kind == "list":
                x = part[1](part[0](x))
            else:
                x = part(x)
        return x


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=6), st.booleans())
def test_work_of_random_networks_stands_where_it_is_done(kinds, reads):
    inner = Net(kinds).train()
    model = Call(lambda f, x: f(x) if not reads or float(x.sum()) < 1e30 else x, inner)
    before = copy.deepcopy(model.state_dict())
    report = estimate(model, (3, 4), training=True)
    assert report.by_module()["macs"].sum() == report.total()["macs"]
    frame = report.table
    sums = frame.groupby(["module", "phase"])["macs"].sum().unstack(fill_value=0)
    sums = sums[sums.sum(axis=1) > 0]
    assert (sums["backward"] == [(1 if m.endswith("first") else 2) * v for m, v in sums["forward"].items()]).all()
    # each layer that multiplies did so under its own name
    assert set(sums.index) <= {name for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and not p.is_meta for p in model.parameters())
