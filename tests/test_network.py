"""MACs of networks against hand arithmetic, PyTorch's own counter, and what must not happen to the user's model."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from alphaflops.errors import AlphaflopsError
from alphaflops.layers import Conv2d, Dense
from alphaflops.network import trace, unknown_warning
from alphaflops.network.formulas import FORMULAS
from alphaflops.network.inputs import Shape, build, materialise, normalise, parse_shape


class Call(nn.Module):
    """A function as a module, with a layer or two to hold weights."""

    def __init__(self, function, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = function

    def forward(self, *inputs):
        return self.function(*self.layers, *inputs)


def macs(model, *shapes, train=False, **options):
    return trace(model.train(train), list(shapes), **options).macs


def torch_macs(model, *shapes):
    """PyTorch's own count, on the meta device with gradients, where it sees base operators only."""
    twin = copy.deepcopy(model).to("meta")
    with FlopCounterMode(display=False) as counter:
        twin(*[torch.empty(shape, device="meta") for shape in shapes])
    return counter.get_total_flops() // 2


# Where PyTorch's counter is right, the third entry is compared with it too.
CASES = {
    # 2 inputs · 6·6 outputs · 3·8 channel pairs · 3·3 taps
    "conv2d": (nn.Conv2d(3, 8, 3, padding=1), [(2, 3, 6, 6)], 2 * 36 * 24 * 9),
    # the bias adds and multiplies nothing
    "conv2d without bias": (nn.Conv2d(3, 8, 3, bias=False), [(1, 3, 6, 6)], 16 * 24 * 9),
    # (7 + 2 − 3)/2 + 1 = 4 outputs per side
    "strided": (nn.Conv2d(3, 8, 3, stride=2, padding=1), [(1, 3, 7, 7)], 16 * 24 * 9),
    # 4 groups of 2 inputs and 3 outputs: 12 outputs · 2 inputs each
    "grouped": (nn.Conv2d(8, 12, 3, padding=1, groups=4), [(1, 8, 5, 5)], 25 * 12 * 2 * 9),
    # one input channel for each output channel
    "depthwise": (nn.Conv2d(8, 8, 3, padding=1, groups=8), [(1, 8, 5, 5)], 25 * 8 * 9),
    # depthwise with multiplier 2: 16 outputs · 1 input
    "depthwise multiplier": (nn.Conv2d(8, 16, 3, groups=8), [(1, 8, 5, 5)], 9 * 16 * 9),
    # a kernel of 3 dilated by 2 reaches over 5: 9 − 5 + 1 = 5 outputs per side
    "dilated": (nn.Conv2d(2, 3, 3, dilation=2), [(1, 2, 9, 9)], 25 * 6 * 9),
    # padding "same" keeps 5 × 7
    "same padding": (nn.Conv2d(2, 3, 3, padding="same"), [(1, 2, 5, 7)], 35 * 6 * 9),
    # an even kernel too: one extra zero on one side
    "same even": (nn.Conv2d(2, 3, 2, padding="same"), [(1, 2, 5, 7)], 35 * 6 * 4),
    # 10 − 3 + 1 = 8 outputs
    "conv1d": (nn.Conv1d(4, 6, 3), [(2, 4, 10)], 2 * 8 * 24 * 3),
    # (4, 5, 6) − 2 = (2, 3, 4) outputs, 27 taps
    "conv3d": (nn.Conv3d(2, 3, 3), [(1, 2, 4, 5, 6)], 2 * 3 * 4 * 6 * 27),
    # stride (2, 1, 1) and groups 2: (2, 3, 4) of depth (5 − 3)/2 + 1 = 2
    "conv3d strided grouped": (nn.Conv3d(4, 6, 3, (2, 1, 1), groups=2), [(1, 4, 5, 5, 6)], 2 * 3 * 4 * 6 * 2 * 27),
    # each input element meets every tap: 5·5 inputs · 4·6 pairs · 9 taps
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1), [(1, 4, 5, 5)], 25 * 24 * 9),
    # two groups of 2 inputs and 3 outputs
    "transposed grouped": (nn.ConvTranspose2d(4, 6, 3, groups=2), [(1, 4, 5, 5)], 25 * 4 * 3 * 9),
    # 7 inputs · 4·6 pairs · 3 taps
    "transposed 1d": (nn.ConvTranspose1d(4, 6, 3, stride=2), [(1, 4, 7)], 7 * 24 * 3),
    # 2·3·4 inputs · 2·3 pairs · 8 taps
    "transposed 3d": (nn.ConvTranspose3d(2, 3, 2, stride=2), [(1, 2, 2, 3, 4)], 24 * 6 * 8),
    # an input without a batch is a batch of one
    "no batch": (nn.Conv2d(3, 8, 3), [(3, 6, 6)], 16 * 24 * 9),
    # 5 vectors of 8 to 16
    "linear": (nn.Linear(8, 16), [(5, 8)], 5 * 8 * 16),
    # 2·7 vectors of 8 to 16
    "linear on 3-D": (nn.Linear(8, 16), [(2, 7, 8)], 14 * 8 * 16),
    # the same without bias, on one vector
    "linear on 1-D": (nn.Linear(8, 16, bias=False), [(8,)], 8 * 16),
    "functional linear": (Call(lambda x, w: F.linear(x, w)), [(5, 8), (16, 8)], 5 * 8 * 16),
    # 6 − 3 + 1 = 4 outputs per side
    "functional conv": (Call(lambda x, w: F.conv2d(x, w)), [(1, 3, 6, 6), (8, 3, 3, 3)], 16 * 24 * 9),
    # (3×4)·(4×5)
    "matmul": (Call(torch.matmul), [(3, 4), (4, 5)], 60),
    # 2·6 pairs of matrices
    "matmul broadcast": (Call(torch.matmul), [(2, 6, 3, 4), (4, 5)], 12 * 60),
    # 6 pairs of (3×4)·(4×5)
    "bmm": (Call(torch.bmm), [(6, 3, 4), (6, 4, 5)], 6 * 60),
    "addmm": (Call(torch.addmm), [(5,), (3, 4), (4, 5)], 60),
    "baddbmm": (Call(torch.baddbmm), [(6, 3, 5), (6, 3, 4), (6, 4, 5)], 6 * 60),
    # b = 2, i = 3, j = 4, k = 5
    "einsum": (Call(lambda x, y: torch.einsum("bij,bjk->bik", x, y)), [(2, 3, 4), (2, 4, 5)], 2 * 60),
    # shared layer called twice on 4 vectors
    "shared twice": (Call(lambda f, x: f(f(x)), nn.Linear(8, 8)), [(4, 8)], 2 * 4 * 64),
}


@pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel")
@pytest.mark.parametrize("name", CASES)
def test_macs_by_hand_and_by_torch(name):
    model, shapes, by_hand = CASES[name]
    assert macs(model, *shapes) == by_hand
    assert torch_macs(model, *shapes) == by_hand


# What PyTorch's counter gets wrong or sees only in some modes: hand arithmetic alone.
ALONE = {
    # (3×4)·(4)
    "matrix times vector": (Call(torch.mv), [(3, 4), (4,)], 12),
    # 2·3 heads: scores 5·4·7, values 5·7·4
    "attention": (Call(F.scaled_dot_product_attention), [(2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 4)], 6 * 2 * 5 * 7 * 4),
    # a mask removes no product from the count
    "attention with mask": (
        Call(lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, attn_mask=m)),
        [(2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 4), (5, 7)],
        6 * 2 * 5 * 7 * 4,
    ),
    "causal attention": (
        Call(lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True)),
        [(2, 3, 5, 4)],
        6 * 2 * 5 * 5 * 4,
    ),
    # values wider than queries: 5·7·4 + 5·7·6
    "attention, wider values": (
        Call(F.scaled_dot_product_attention),
        [(1, 1, 5, 4), (1, 1, 7, 4), (1, 1, 7, 6)],
        5 * 7 * (4 + 6),
    ),
    # batch 2, 5 steps, width 8, 2 heads: four projections 10·8·8, then 2·2 heads · 2 products · 5·5·4
    "multi-head attention": (
        Call(lambda f, x: f(x, x, x)[0], nn.MultiheadAttention(8, 2, batch_first=True)),
        [(2, 5, 8)],
        4 * 10 * 64 + 4 * 2 * 25 * 4,
    ),
    "multi-head attention without weights": (
        Call(lambda f, x: f(x, x, x, need_weights=False)[0], nn.MultiheadAttention(8, 2, batch_first=True)),
        [(2, 5, 8)],
        4 * 10 * 64 + 4 * 2 * 25 * 4,
    ),
    # attention as above on 2·5 vectors, then 8 → 32 → 8
    "encoder layer": (
        nn.TransformerEncoderLayer(8, 2, 32, batch_first=True),
        [(2, 5, 8)],
        4 * 10 * 64 + 4 * 2 * 25 * 4 + 2 * 10 * 8 * 32,
    ),
    # 4 gates of 16, 7 steps, batch 3: inputs 8, state 16
    "lstm": (nn.LSTM(8, 16), [(7, 3, 8)], 21 * 64 * (8 + 16)),
    # two directions; the second layer reads 2·16
    "lstm, two ways, two layers": (
        nn.LSTM(8, 16, 2, bidirectional=True),
        [(7, 3, 8)],
        2 * 21 * 64 * (8 + 16) + 2 * 21 * 64 * (32 + 16),
    ),
    # the state is projected to 5: gates read 8 + 5, the projection is 16·5
    "lstm with projection": (nn.LSTM(8, 16, proj_size=5), [(7, 3, 8)], 21 * (64 * (8 + 5) + 16 * 5)),
    # batch first: 3 sequences of 7 steps
    "lstm, batch first": (nn.LSTM(8, 16, batch_first=True), [(3, 7, 8)], 21 * 64 * (8 + 16)),
    # without a batch: 7 steps
    "lstm, one sequence": (nn.LSTM(8, 16, bias=False), [(7, 8)], 7 * 64 * (8 + 16)),
    # 3 gates, two directions
    "gru, two ways": (nn.GRU(8, 16, bidirectional=True), [(7, 3, 8)], 2 * 21 * 48 * (8 + 16)),
    # no gates
    "rnn": (nn.RNN(8, 16), [(7, 3, 8)], 21 * 16 * (8 + 16)),
    # one step of an LSTM
    "lstm cell": (nn.LSTMCell(8, 16), [(3, 8)], 3 * 64 * (8 + 16)),
}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", ALONE)
def test_macs_by_hand(name, train):
    model, shapes, by_hand = ALONE[name]
    assert macs(model, *shapes, train=train) == by_hand


@pytest.mark.parametrize("name", [*CASES, *ALONE])
def test_macs_are_those_of_the_layers(name):
    model, shapes, by_hand = (CASES | ALONE)[name]
    operations = trace(model.eval(), list(shapes)).operations
    assert sum(one.layer.macs * one.count for o in operations for one in o.layers) == by_hand


FALLBACK = (
    "multi-head attention without weights",
    "encoder layer",
    "lstm, two ways, two layers",
    "gru, two ways",
    "attention",
    "attention with mask",
    "conv2d",
    "linear on 3-D",
    "transposed",
)


@pytest.mark.parametrize("how", ["fake", "cpu"])
@pytest.mark.parametrize("name", FALLBACK)
def test_fallbacks_count_the_same(name, how):
    """A network that meta tensors cannot run takes fake or CPU tensors, whose operators differ."""
    model, shapes, by_hand = (CASES | ALONE)[name]

    def needs_device(inner, *inputs):
        if how == "fake":
            return inner(*inputs) if inputs[0].device.type == "cpu" else inputs[0] + torch.zeros(1).to("cpu")
        return inner(*inputs) if float(inputs[0].sum()) < 1e30 else inputs[0]

    network = trace(Call(needs_device, model).eval(), list(shapes))
    assert network.how == how
    assert network.macs == by_hand
    assert any("tensors were not enough" in note for note in network.notes)


@pytest.mark.parametrize("asks", [torch.is_autocast_enabled, lambda device: torch.autocast(device, enabled=False)])
def test_autocast_needs_a_device(asks):
    network = trace(Call(lambda layer, x: (asks(x.device.type), layer(x))[1], nn.Linear(8, 16)), (5, 8))
    assert (network.how, network.macs) == ("fake", 5 * 8 * 16)


def test_packed_sequences_count_real_steps_only():
    lstm = nn.LSTM(8, 16)

    def packed(f, x):
        return f(nn.utils.rnn.pack_padded_sequence(x, [7, 4, 2]))[0].data

    # 7 + 4 + 2 = 13 vectors rather than 3·7
    assert macs(Call(packed, lstm), (7, 3, 8)) == 13 * 64 * (8 + 16)


def test_backward_of_linear_counts_both_gradients():
    # forward 5·8·16; gradients of the weight and, in the second layer, of its input
    model = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 4))
    network = trace(model, (5, 8), backward=True)
    first, second = 5 * 8 * 16, 5 * 16 * 4
    assert sum(o.macs for o in network.operations if o.phase == "forward") == first + second
    assert sum(o.macs for o in network.operations if o.phase == "backward") == first + 2 * second
    assert {o.module for o in network.operations if o.phase == "backward" and o.macs} == {"0", "1"}


def test_backward_of_grouped_convolution_divides_by_the_groups():
    # PyTorch's counter multiplies the weight's gradient by the groups; each gradient costs what the forward pass costs
    model = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=4), nn.Conv2d(8, 8, 3, padding=1, groups=8))
    first, second = 25 * 8 * 2 * 9, 25 * 8 * 9
    assert trace(model, (1, 8, 5, 5), backward=True).macs == first + second + first + 2 * second


def test_backward_needs_something_to_train():
    with pytest.raises(AlphaflopsError, match="requires a gradient"):
        trace(nn.ReLU(), (3,), backward=True)


def test_layers_keep_sizes_and_modules():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10))
    network = trace(model.eval(), (2, 3, 8, 8))
    conv, relu, dense = network.operations
    assert conv.layers[0].layer == Conv2d(8, 8, 3, 8, 3, 2, 2, 1, bias=True)
    assert dense.layers[0].layer == Dense(128, 10, 2, bias=True)
    assert [o.module for o in network.operations] == ["0", "1", "3"]
    # input 2·3·64, weights 8·27 + 8, output 2·8·16 numbers of 4 bytes
    assert conv.bytes == 4 * (384 + 224 + 256)
    assert (relu.family, relu.macs, relu.bytes) == ("pointwise", 0, 2 * 4 * 256)
    assert network.flops == 2 * network.macs
    assert network.params == 224 + 1290


def test_shared_module_is_listed_per_call():
    network = trace(Call(lambda f, x: f(f(x)), nn.Linear(8, 8)), (4, 8))
    assert [(o.module, o.call) for o in network.operations] == [("layers.0", 1), ("layers.0", 2)]
    assert network.params == 72


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("backward", [False, True])
def test_nothing_is_left_behind(train, backward):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.LSTM(64, 5)).train(
        train
    )
    before = {
        name: (id(t), t.device, t.requires_grad, t.clone()) for name, t in model.state_dict(keep_vars=True).items()
    }
    kept = {name: set(vars(module)) for name, module in model.named_modules()}
    hooks = dict(torch.nn.modules.module._global_forward_pre_hooks), dict(torch.nn.modules.module._global_forward_hooks)
    state = torch.random.get_rng_state()
    trace(model, (2, 3, 6, 6), backward=backward)
    assert torch.equal(state, torch.random.get_rng_state())
    assert hooks == (
        dict(torch.nn.modules.module._global_forward_pre_hooks),
        dict(torch.nn.modules.module._global_forward_hooks),
    )
    for name, tensor in model.state_dict(keep_vars=True).items():
        identity, device, needs, values = before[name]
        assert (id(tensor), tensor.device, tensor.requires_grad) == (identity, device, needs)
        assert torch.equal(tensor, values)
        assert tensor.grad is None
    for name, module in model.named_modules():
        assert module.training is train
        assert set(vars(module)) == kept[name]
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_attributes_that_forward_sets_stay_on_the_copy():
    class Caches(nn.Linear):
        def forward(self, x):
            self.table = x * 2
            return super().forward(x)

    model = Caches(4, 4)
    trace(model, (1, 4))
    assert not hasattr(model, "table")


def test_fallback_to_real_tensors_keeps_buffers():
    model = nn.Sequential(nn.BatchNorm1d(4), Call(lambda x: x if x.sum() < 9e9 else -x))
    trace(model.train(), (3, 4))
    assert int(model[0].num_batches_tracked) == 0


def test_mode_decides_what_runs():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    assert len(trace(model.eval(), (1, 4)).operations) == 1
    assert len(trace(model.train(), (1, 4)).operations) > 1


def test_plain_tensor_attributes_and_new_tensors_are_handled():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.ones(4, 4)

        def forward(self, x):
            return x @ self.table + torch.arange(4)

    assert macs(Odd(), (3, 4)) == 48


def test_unknown_operators_are_named_with_their_share():
    network = trace(nn.Sequential(nn.Linear(4, 4), Call(lambda x: torch.fft.rfft(x).real)), (2, 4))
    assert network.unknown == ("_fft_r2c",)
    assert "_fft_r2c (50% of the modules)" in unknown_warning(network)
    assert unknown_warning(trace(nn.Linear(4, 4), (2, 4))) is None


def test_inputs_by_keyword_and_number_type():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(100, 8), nn.Linear(8, 3)

        def forward(self, ids, scale=None):
            out = self.head(self.table(ids))
            return out if scale is None else out * scale

    assert macs(Words(), "2,5:int64") == 10 * 24
    network = trace(Words(), {"ids": "2,5:int64", "scale": (1,)})
    # a look-up touches the rows that it returns, twice, and the indices, not the table
    assert network.operations[0].bytes == 2 * (10 * 8 * 4) + 10 * 8
    assert (
        trace(Words().half(), {"ids": torch.zeros(2, 5, dtype=torch.int64)}).operations[1].layers[0].layer.dtype_bytes
        == 2
    )


def test_wrong_input_names_layer_and_shapes():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(99, 10))
    with pytest.raises(AlphaflopsError, match=r"layer 2 \(Linear\) was given \(1, 128\)") as wrong:
        trace(model, (1, 3, 6, 6))
    assert "\n" not in str(wrong.value)
    with pytest.raises(AlphaflopsError, match=r"layer 0 \(Conv2d\) was given \(1, 4, 6, 6\)"):
        trace(model, (1, 4, 6, 6))


# Parameters by formula: ResNet-50 with a head of 1000 classes; VGG-16 after Simonyan and Zisserman, table 1 D.
def vgg16():
    layers, channels = [], 3
    for stage, depth in zip((64, 128, 256, 512, 512), (2, 2, 3, 3, 3), strict=True):
        for _ in range(depth):
            layers += [nn.Conv2d(channels, stage, 3, padding=1), nn.ReLU()]
            channels = stage
        layers.append(nn.MaxPool2d(2))
    head = [nn.Flatten(), nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers, *head)


def test_known_networks():
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(num_labels=1000)
    with torch.device("meta"):
        resnet = transformers.ResNetForImageClassification(config).eval()
        network = trace(vgg16().eval(), (1, 3, 224, 224))
    # convolutions 15,346,630,656; dense 25,088·4,096 + 4,096² + 4,096·1,000
    assert network.macs == 15_346_630_656 + 25_088 * 4096 + 4096**2 + 4_096_000
    assert network.params == 138_357_544
    resnet50 = trace(resnet, (1, 3, 224, 224))
    assert resnet50.macs == 4_089_184_256
    assert resnet50.params == 25_557_032
    assert resnet50.unknown == ()


@pytest.mark.parametrize("text", ["", "1,-3", "a,b", "1,3:floaty"])
def test_bad_shapes_get_one_line(text):
    with pytest.raises(AlphaflopsError) as wrong:
        parse_shape(text)
    assert "\n" not in str(wrong.value)


def test_bad_models_get_one_line():
    with pytest.raises(AlphaflopsError, match=r"give a torch\.nn\.Module"):
        trace(torch.relu, (1,))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Lazy modules are a new feature")
        lazy = nn.LazyLinear(3)
    with pytest.raises(AlphaflopsError, match="call the model once"):
        trace(lazy, (1, 3))


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("nothing", {}, "package.module:factory"),
        ("no_such_package.x:y", {}, "cannot be imported"),
        ("torch.nn:NoSuchThing", {}, "has no attribute 'NoSuchThing'"),
        ("torch.nn:Linear", {}, "missing 2 required positional arguments: 'in_features'"),
        ("torch.nn:Linear", {"in_features": 3, "out_features": "x"}, "failed"),
        ("math:pi", {}, "'float' object is not callable"),
        ("builtins:dict", {}, "returned a dict"),
    ],
)
def test_bad_factories_get_one_line(name, kwargs, message):
    with pytest.raises(AlphaflopsError, match=message) as wrong:
        build(name, kwargs)
    assert "\n" not in str(wrong.value)


def test_factory_allocates_no_weights():
    model, notes = build("torch.nn:Linear", {"in_features": 3, "out_features": 4})
    assert model.weight.is_meta
    assert notes == ()


def empty(*shape):
    return torch.empty(shape, device="meta")


LSTM = [empty(64, 8), empty(64, 16), empty(64), empty(64)]
FUSED = {
    # operators that fused kernels and GPUs run, which no trace on this machine meets
    "mv": ({"self": empty(3, 4), "vec": empty(4)}, 12),
    "addmv": ({"self": empty(3), "mat": empty(3, 4), "vec": empty(4)}, 12),
    "dot": ({"self": empty(5), "tensor": empty(5)}, 5),
    # 2·3 heads, 5 queries, 7 keys: scores of width 8 again and their two gradients, values of width 4 twice
    "_scaled_dot_product_flash_attention_backward": (
        {"query": empty(2, 3, 5, 8), "key": empty(2, 3, 7, 8), "value": empty(2, 3, 7, 4)},
        3 * 6 * 35 * 8 + 2 * 6 * 35 * 4,
    ),
    # one sequence of 7 without a batch
    "lstm": (
        {"input": empty(7, 8), "params": LSTM, "num_layers": 1, "bidirectional": False},
        7 * 64 * (8 + 16),
    ),
}


@pytest.mark.parametrize("name", FUSED)
def test_fused_operators_by_hand(name):
    arguments, by_hand = FUSED[name]
    assert sum(one.layer.macs * one.count for one in FORMULAS[name](arguments)) == by_hand


def test_made_inputs_are_random_or_zero():
    (args, _, _) = normalise([Shape((2, 3), "float16"), "4:int64"])
    half, whole = (materialise(value, "cpu") for value in args)
    assert (half.dtype, half.shape, whole.dtype) == (torch.float16, (2, 3), torch.int64)
    assert half.abs().sum() > 0
    assert whole.tolist() == [0, 0, 0, 0]


READY = nn.Linear(3, 4)


def test_a_module_can_stand_for_its_factory():
    model, notes = build(f"{__name__}:READY", {})
    assert (model, notes) == (READY, ())


class Uncopied(nn.Module):
    """A network that refuses to be copied, as some wrapped ones do."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 16)

    def __deepcopy__(self, memo):
        raise RuntimeError("one of a kind")

    def forward(self, x):
        return self.layer(x)


def test_a_network_that_cannot_be_copied_is_called_itself_and_keeps_its_weights():
    model = Uncopied()
    before = copy.copy(dict(model.named_parameters()))
    network = trace(model, (5, 8))
    assert network.macs == 5 * 8 * 16
    assert network.notes == ()
    assert dict(model.named_parameters()) == before
    assert not any(parameter.is_meta for parameter in model.parameters())


def test_a_failure_outside_every_layer_is_told():
    def fails(x):
        raise ValueError("no such thing")

    with pytest.raises(AlphaflopsError, match="ValueError: no such thing"):
        trace(Call(fails), (2,))


def test_an_operator_that_only_pytorch_counts_has_macs_but_no_layer(monkeypatch):
    monkeypatch.delitem(FORMULAS, "mm")
    (operation,) = trace(nn.Linear(8, 16, bias=False), (4, 8)).operations
    assert (operation.name, operation.family, operation.macs, operation.layers) == ("mm", "multiply", 4 * 8 * 16, ())
