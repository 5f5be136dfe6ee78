"""Networks that took no part in development: counts equal PyTorch's own, nothing is unknown, nothing allocates."""

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from alphaflops.fitting import read_calibration
from alphaflops.network import trace
from alphaflops.prediction import report_on, zoo

transformers = pytest.importorskip("transformers")

IMAGE, TOKENS = "1,3,64,64", "2,16:int64"
TEXT = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}

# Class, configuration, its options, input: small sizes of families with different operators.
ARCHITECTURES = {
    "RegNet": (
        "RegNetForImageClassification",
        "RegNetConfig",
        {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 2, 1], "embedding_size": 8, "groups_width": 8},
        IMAGE,
    ),
    "ConvNeXt V2": (
        "ConvNextV2ForImageClassification",
        "ConvNextV2Config",
        {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]},
        IMAGE,
    ),
    "Swin": (
        "SwinForImageClassification",
        "SwinConfig",
        {"image_size": 64, "embed_dim": 12, "depths": [1, 2], "num_heads": [2, 4], "window_size": 4},
        IMAGE,
    ),
    "DeiT": (
        "DeiTForImageClassificationWithTeacher",
        "DeiTConfig",
        {"image_size": 64, **TEXT, "patch_size": 16},
        IMAGE,
    ),
    "EfficientNet": (
        "EfficientNetForImageClassification",
        "EfficientNetConfig",
        {"image_size": 64, "width_coefficient": 0.25, "depth_coefficient": 0.5, "hidden_dim": 320},
        IMAGE,
    ),
    "MobileViT": (
        "MobileViTForImageClassification",
        "MobileViTConfig",
        {"image_size": 64, "hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 12, 16, 20, 24, 64]},
        IMAGE,
    ),
    "SegFormer": (
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        {"hidden_sizes": [8, 16, 40, 64], "depths": [1, 1, 1, 1], "decoder_hidden_size": 16},
        IMAGE,
    ),
    "CLIP image encoder": (
        "CLIPVisionModel",
        "CLIPVisionConfig",
        {"image_size": 64, **{k: v for k, v in TEXT.items() if k != "vocab_size"}},
        IMAGE,
    ),
    "GPT-2": ("GPT2LMHeadModel", "GPT2Config", {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4}, TOKENS),
    "Llama": ("LlamaForCausalLM", "LlamaConfig", {**TEXT, "num_key_value_heads": 2}, TOKENS),
    "T5 encoder": (
        "T5EncoderModel",
        "T5Config",
        {"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4},
        TOKENS,
    ),
    "DistilBERT": (
        "DistilBertModel",
        "DistilBertConfig",
        {"vocab_size": 99, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
        TOKENS,
    ),
    "Wav2Vec2": (
        "Wav2Vec2Model",
        "Wav2Vec2Config",
        {
            **TEXT,
            "conv_dim": (16, 16, 16),
            "conv_kernel": (10, 3, 2),
            "conv_stride": (5, 2, 2),
            "num_conv_pos_embeddings": 8,
            "num_conv_pos_embedding_groups": 4,
        },
        "1,2000",
    ),
    "Whisper encoder": (
        "WhisperModel",
        "WhisperConfig",
        {
            "d_model": 32,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "decoder_ffn_dim": 48,
            "num_mel_bins": 16,
            "max_source_positions": 50,
            "vocab_size": 99,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 1,
        },
        {"input_features": "1,16,100", "decoder_input_ids": "1,4:int64"},
    ),
}


def built(name, attention="eager"):
    kind, config, options, inputs = ARCHITECTURES[name]
    settings_ = getattr(transformers, config)(**options)
    settings_._attn_implementation = attention
    torch.manual_seed(0)
    return getattr(transformers, kind)(settings_).eval(), inputs


def tensors(inputs):
    """What a user would pass: real tensors, zeros."""
    given_ = inputs if isinstance(inputs, dict) else {"": inputs}
    out = {}
    for key, text in given_.items():
        sizes, _, dtype = text.partition(":")
        out[key] = torch.zeros([int(s) for s in sizes.split(",")], dtype=getattr(torch, dtype or "float32"))
    return out


def torch_macs(model, inputs):
    """PyTorch's own count of a real call; right where attention is written as matrix products."""
    made = tensors(inputs)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(**made) if "" not in made else model(made[""])
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_counts_are_those_of_torch_and_nothing_is_unknown(name):
    model, inputs = built(name)
    network = trace(model, inputs)
    assert network.unknown == ()
    assert network.how == "meta", network.notes
    assert network.macs == torch_macs(model, inputs) > 0
    assert sum(one.layer.macs * one.count for o in network.operations for one in o.layers) == network.macs
    assert network.params == sum(p.numel() for p in model.parameters())
    assert min(o.bytes for o in network.operations) > 0


@pytest.mark.parametrize("name", ["DeiT", "GPT-2", "Llama", "Whisper encoder"])
def test_fused_attention_counts_the_same(name):
    """PyTorch's counter gives 0 for fused attention on the CPU; here both ways of writing it are equal."""
    written, inputs = built(name)
    fused, _ = built(name, "sdpa")
    assert trace(fused, inputs).macs == trace(written, inputs).macs


@pytest.mark.parametrize("name", ["RegNet", "Swin", "GPT-2", "Wav2Vec2"])
def test_backward_pass_has_no_unknown_operator(name):
    model, inputs = built(name)
    network = trace(model, inputs, backward=True)
    assert network.unknown == ()
    forward = sum(o.macs for o in network.operations if o.phase == "forward")
    assert forward < network.macs - forward <= 2 * forward


@pytest.mark.parametrize("name", ["RegNet", "GPT-2"])
def test_every_operator_gets_a_time(name):
    model, inputs = built(name)
    report = report_on(trace(model, inputs), read_calibration("cpu-1core"))
    assert report.table["predicted_ms"].notna().all()
    assert (report.table["predicted_ms"] > 0).all()


@st.composite
def stacks(draw):
    """Random stacks of convolutions of any kind, norms and activations, ending in a linear layer, with an input."""
    dims = draw(st.sampled_from([1, 2, 3]))
    channels = draw(st.sampled_from([2, 4, 6]))
    shape = (draw(st.integers(1, 3)), channels, *draw(st.lists(st.integers(6, 9), min_size=dims, max_size=dims)))
    conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dims]
    deconv = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[dims]
    norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dims]
    layers = []
    for _ in range(draw(st.integers(1, 3))):
        width = draw(st.sampled_from([2, 4, 6]))
        groups = draw(st.sampled_from([g for g in (1, 2, channels) if channels % g == 0 and width % g == 0]))
        options = {
            "stride": draw(st.integers(1, 2)),
            "padding": draw(st.integers(1, 2)),
            "dilation": draw(st.integers(1, 2)),
            "groups": groups,
            "bias": draw(st.booleans()),
        }
        kind = draw(st.sampled_from([conv, conv, deconv]))
        layers += [kind(channels, width, draw(st.integers(1, 3)), **options)]
        layers += draw(st.sampled_from([[], [norm(width)], [nn.GELU()], [norm(width), nn.ReLU(inplace=True)]]))
        channels = width
    return nn.Sequential(*layers, nn.Flatten(1), nn.LazyLinear(draw(st.integers(1, 5)))), shape


@settings(max_examples=60, deadline=None)
@given(stacks())
def test_random_stacks_count_as_torch_does(stack):
    model, shape = stack
    model = model.eval()
    try:
        model(torch.zeros(shape))  # fixes the lazy layer
    except (RuntimeError, ValueError):
        assume(False)  # the random sizes leave nothing to convolve
    assume(model[-1].in_features > 0)  # nor nothing to multiply
    network = trace(model, shape)
    assert network.unknown == ()
    assert network.macs == torch_macs(copy.deepcopy(model), ",".join(map(str, shape)))


@pytest.mark.parametrize(
    ("ours", "options"),
    [
        (zoo.resnet50, {}),
        (zoo.resnet18, {"depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512], "layer_type": "basic"}),
    ],
)
def test_our_resnets_run_the_operators_of_the_library_s(ours, options):
    config = transformers.ResNetConfig(num_labels=1000, **options)
    with torch.device("meta"):
        models = ours(), transformers.AutoModelForImageClassification.from_config(config)
    networks = [trace(model.eval(), "1,3,224,224") for model in models]
    own, theirs = ([(o.name, o.layers, o.bytes, o.output_shape) for o in network.operations] for network in networks)
    assert own == theirs
    assert networks[0].params == networks[1].params


def test_a_convolution_that_gives_nothing_counts_nothing():
    model = nn.ConvTranspose2d(2, 2, 2, padding=2).eval()
    assert model(torch.zeros(2, 2, 3, 4)).shape == (2, 2, 0, 1)
    assert trace(model, "2,2,3,4").macs == 0


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_random_recurrent_and_attention_layers_by_formula(data):
    """What PyTorch's counter gives 0 for, by the formulas of its documentation."""
    number = st.integers(1, 6)
    batch, steps, width, hidden, layers = (data.draw(number) for _ in range(5))
    ways = data.draw(st.sampled_from([1, 2]))
    kind, gates = data.draw(st.sampled_from([(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)]))
    model = kind(width, hidden, layers, bidirectional=ways == 2).eval()
    by_hand = sum(
        ways * steps * batch * gates * hidden * ((width if layer == 0 else ways * hidden) + hidden)
        for layer in range(layers)
    )
    assert trace(model, (steps, batch, width)).macs == by_hand
    heads = data.draw(st.sampled_from([1, 2]))
    embed = 2 * data.draw(number)
    attention = nn.MultiheadAttention(embed, heads, batch_first=True).eval()
    x = torch.zeros(batch, steps, embed)
    # four projections, then scores and values
    assert trace(attention, [x, x, x]).macs == batch * (4 * steps * embed * embed + 2 * steps * steps * embed)
