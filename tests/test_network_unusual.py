"""Operators, inputs and ways of writing a network that are met less often: counted, and nothing is left behind."""

import functools
import logging
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention.flex_attention import flex_attention
from torch.utils._python_dispatch import TorchDispatchMode

from alphaflops.errors import AlphaflopsError
from alphaflops.network import trace
from alphaflops.network.guard import forget
from alphaflops.network.inputs import Shape
from alphaflops.prediction import estimate_factory

SHOWN = hasattr(TorchDispatchMode, "supports_higher_order_operators")
"""Whether this version of torch shows a dispatch mode what operators with functions in them run."""


class Call(nn.Module):
    """A function as a module, with a layer to hold weights."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.layer = nn.Linear(4, 4)

    def forward(self, *inputs):
        return self.function(self.layer, *inputs)


def counted(function, *inputs):
    network = trace(Call(function).eval(), list(inputs))
    assert network.unknown == ()
    return network.macs


def bfloat(*sizes):
    return torch.ones(sizes, dtype=torch.bfloat16)


ENDS = torch.tensor([8, 16], dtype=torch.int32)
BY_HAND = {
    # what works in place multiplies what it does elsewhere: (3×4)·(4×5)
    "addmm_": (lambda _, c, a, b: c.clone().addmm_(a, b), [(3, 5), (3, 4), (4, 5)], 60),
    "baddbmm_": (lambda _, c, a, b: c.clone().baddbmm_(a, b), [(2, 3, 5), (2, 3, 4), (2, 4, 5)], 120),
    "addbmm_": (lambda _, c, a, b: c.clone().addbmm_(a, b), [(3, 5), (2, 3, 4), (2, 4, 5)], 120),
    "addmv_": (lambda _, c, a, b: c.clone().addmv_(a, b), [(3,), (3, 4), (4,)], 12),
    # 14 vectors, 5 outputs: 3·4 products with the matrix, then 4 with the second vector
    "bilinear": (lambda _, x, w, y: F.bilinear(x, y, w), [(2, 7, 3), (5, 3, 4), (2, 7, 4)], 14 * 5 * (3 * 4 + 4)),
    # one product of vectors of 8 with their squared length and a one
    "distances": (lambda _, x, y: torch.cdist(x, y), [(2, 30, 8), (2, 40, 8)], 2 * 30 * 40 * (8 + 2)),
    # each of 16 rows meets one of two matrices
    "grouped, a stack": (
        lambda _, a, b, ends: torch._grouped_mm(a, b, offs=ends),
        [bfloat(16, 24), bfloat(2, 24, 32), ENDS],
        16 * 24 * 32,
    ),
    # PyTorch refuses other numbers than bfloat16 without data, not with data
    "grouped, float32": (
        lambda _, a, b, ends: torch._grouped_mm(a, b, offs=ends),
        [Shape((16, 24)), Shape((2, 24, 32)), ENDS],
        16 * 24 * 32,
    ),
    "grouped, two stacks": (
        lambda _, a, b: torch._grouped_mm(a, b),
        [bfloat(2, 16, 24), bfloat(2, 24, 32)],
        2 * 16 * 24 * 32,
    ),
    # two sums of 8 products each
    "grouped, two matrices": (
        lambda _, a, b, ends: torch._grouped_mm(a, b, offs=ends),
        [bfloat(24, 16), bfloat(16, 32), ENDS],
        24 * 16 * 32,
    ),
    # scores and values: 2 heads of 16·16·8 each
    "attention with a function": (
        lambda _, q: flex_attention(q, q, q, score_mod=lambda score, b, h, i, j: score + (i - j)),
        [(1, 2, 16, 8)],
        2 * 2 * 16 * 16 * 8,
    ),
    # a map over 3 vectors, as an operator
    "map": (lambda f, x: torch._higher_order_ops.map(lambda row: f(row), x), [(3, 4)], 3 * 16),
    # the derivative in the forward pass multiplies once more
    "derivative inside": (
        lambda f, x: torch.autograd.grad(f(x.requires_grad_()).sum(), x)[0],
        [(3, 4)],
        2 * 48,
    ),
    # NumPy asks for values
    "numpy inside": (lambda f, x: f(torch.from_numpy(2 * x.detach().numpy())), [(3, 4)], 48),
    # two pairs of (3×4)·(4×5)
    "lists of matrices": (lambda _, a, b: torch._foreach_mm([a, a], [b, b]), [(3, 4), (4, 5)], 2 * 60),
    "lists of tensors": (
        lambda f, x: f(torch._foreach_add_([x.clone()], 1.0)[0] / torch._foreach_norm([x])[0]),
        [(3, 4)],
        48,
    ),
    "losses and look-ups": (
        lambda f, x: (
            F.smooth_l1_loss(x, f(x)),
            F.binary_cross_entropy_with_logits(x, x.sigmoid()),
            F.embedding_bag(torch.zeros(2, 3, dtype=torch.long, device=x.device), x),
            F.elu_(x.clone()).cummax(0),
            F.max_unpool1d(*F.max_pool1d(x, 2, return_indices=True), 2),
        ),
        [(3, 4)],
        48,
    ),
    "unique": (lambda f, x: f(x)[torch.unique(x.long()).clamp(0, 1)], [(3, 4)], 48),
}


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.parametrize("name", BY_HAND)
def test_macs_by_hand(name):
    if name in ("attention with a function", "map") and not SHOWN:
        pytest.skip("this version of torch does not show what such operators run")
    if name.startswith("grouped") and not hasattr(F, "grouped_mm"):
        pytest.skip("this version of torch has no grouped product on a CPU")
    if name == "lists of matrices" and not hasattr(torch, "_foreach_mm"):
        pytest.skip("this version of torch multiplies no lists")
    function, inputs, by_hand = BY_HAND[name]
    assert counted(function, *inputs) == by_hand


@pytest.mark.skipif(not SHOWN, reason="this version of torch does not show what such operators run")
def test_the_branch_that_is_taken_is_counted():
    def choose(layer, x):
        return torch.cond(x.sum() > 0, lambda v: layer(layer(v)), lambda v: 1 * layer(v), (x,))

    assert counted(choose, torch.ones(3, 4)) == 96
    assert counted(choose, -torch.ones(3, 4)) == 48


def test_a_bag_reads_the_rows_that_it_looks_up():
    network = trace(nn.EmbeddingBag(1000, 8, mode="sum"), ["4,5:int64"])
    moved = next(o.bytes for o in network.operations if "bag" in o.name)
    # 20 rows of 8 floats, 20 indices, 4 bags of 8 floats; PyTorch returns some bookkeeping too, but not 1000 rows
    assert 20 * 32 + 20 * 8 + 4 * 32 <= moved < 2000


def test_products_with_sparse_matrices_are_not_guessed():
    network = trace(Call(lambda _, x: torch.sparse.mm(torch.eye(4).to_sparse(), x)), [torch.ones(4, 3)])
    assert network.macs == 0
    assert any("addmm" in name for name in network.unknown)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_scripted_networks_are_counted():
    # (8 − 2)² outputs · 3·4 channels · 9 taps, then 144 to 5
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5))
    assert trace(torch.jit.script(model), "1,3,8,8").macs == 36 * 12 * 9 + 144 * 5


@pytest.mark.skipif(not hasattr(F, "grouped_mm"), reason="this version of torch has no grouped product on a CPU")
def test_experts_in_float32_need_no_data():
    def forward(self, a, b, ends):
        return torch._grouped_mm(a, b, offs=ends)

    network = trace(type("Experts", (nn.Module,), {"forward": forward})(), [Shape((16, 24)), Shape((2, 24, 32)), ENDS])
    assert network.how == "meta"


def test_nested_sequences_count_what_they_hold():
    # sequences of 2 and 3 vectors, 4 to 4
    jagged = torch.nested.nested_tensor([torch.ones(2, 4), torch.ones(3, 4)], layout=torch.jagged)
    if SHOWN:
        assert counted(lambda f, x: f(x), jagged) == 5 * 16
    else:  # older versions of torch have none without data
        with pytest.raises(AlphaflopsError, match="an input has no meta tensors: AssertionError"):
            trace(Call(lambda f, x: f(x)), [jagged])


class Tries(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(5, 4), nn.Linear(4, 4)

    def forward(self, x):
        try:
            return self.first(x)
        except RuntimeError:
            return self.second(x)


def test_what_follows_a_caught_failure_is_placed_where_it_runs():
    network = trace(nn.Sequential(nn.Sequential(Tries()), nn.Linear(4, 2)), "3,4")
    assert [o.module for o in network.operations if o.macs] == ["0.0.second", "1"]


def noisy(layer, x):
    return layer(x) @ torch.randn(4, 2)


@pytest.mark.parametrize("data", [False, True])
def test_random_numbers_of_the_caller_stay_as_they_were(data):
    def function(layer, x):
        if data:
            x.sum().item()
        return noisy(layer, x)

    model, x = Call(function), torch.ones(3, 4)
    before = torch.get_rng_state()
    assert trace(model, x).macs == 48 + 24
    assert torch.equal(torch.get_rng_state(), before)


def test_a_failure_on_fake_tensors_is_told_once(caplog, capfd):
    with pytest.raises(AlphaflopsError, match=r"layer layer \(Linear\) was given \(3, 5\)"):
        trace(Call(lambda f, x: f(x + torch.arange(5))), "3,5")  # made on the CPU: meta tensors are not enough
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    assert (caplog.text, capfd.readouterr().err, logger.disabled) == ("", "", False)


VALUES = """
import torch
from torch import nn

class Repeats(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("times", torch.tensor(3))

    def forward(self, x):
        for _ in range(int(self.times)):
            x = self.layer(x)
        return x
"""


def test_values_of_the_network_itself_decide_what_runs(tmp_path, monkeypatch):
    (tmp_path / "networks_with_values.py").write_text(VALUES)
    monkeypatch.chdir(tmp_path)
    report = estimate_factory("networks_with_values:Repeats", ["2,4"])
    # three times 2 vectors of 4 to 4
    assert report.total()["macs"] == 3 * 2 * 16
    assert "the weights had no data; the network was built anew with them" in report.notes


def test_a_network_without_data_says_that_zeros_stand_for_it():
    with torch.device("meta"):
        model = Call(lambda f, x: f(x) if f.weight.sum() > 0 else x)
    network = trace(model, "2,4")
    assert network.macs == 0
    assert "the weights had no data; zeros stand for them" in network.notes


@functools.lru_cache(maxsize=8)
def remembered(size, device):
    return {"weights": (torch.ones(size, device=device),)}


def test_functions_that_remember_tensors_give_no_fake_ones_later():
    def function(layer, x):
        x = x + torch.arange(4) if x.shape[0] == 3 else x  # made on the CPU: meta tensors are not enough
        return layer(x) * remembered(4, x.device)["weights"][0]

    remembered.cache_clear()
    model = Call(function)
    model(torch.ones(2, 4))
    assert trace(model, "2,4").how == "meta"
    assert trace(model, "3,4").how == "fake"
    assert type(model(torch.ones(3, 4))) is torch.Tensor
    # the next attempt, on real tensors, gets real ones too
    assert trace(Call(lambda f, x: function(f, x) if x.sum() > 0 else f(x)), torch.ones(3, 4)).how == "cpu"
    assert type(remembered(4, torch.device("cpu"))["weights"][0]) is torch.Tensor


def test_only_caches_that_took_up_such_a_thing_are_emptied():
    caches = [functools.lru_cache(maxsize=size)(lambda value: [{"kept": value}]) for size in (None, 4, 4)]
    made = [torch.ones(1), torch.ones(2)]
    for cache, value in zip(caches, (*made, 2), strict=True):
        cache(1)
        cache(value)
    references = [weakref.ref(tensor) for tensor in made]
    del made, value
    assert forget(references) == 0
    assert [cache.cache_info().currsize for cache in caches] == [0, 0, 2]


def test_a_network_too_large_for_values_is_refused_in_one_line():
    with torch.device("meta"):
        model = Call(lambda f, x: f(x) if x.sum() > 0 else x)
        model.large = nn.Parameter(torch.empty(2**60, dtype=torch.int8), requires_grad=False)
    with pytest.raises(AlphaflopsError, match="the network has no cpu tensors: "):
        trace(model, "2,4")
