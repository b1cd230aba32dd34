"""Every layer of torch.nn with each of its options in turn: text, names and first values, the stream afterwards, pickling."""
from __future__ import annotations

import copy
import inspect
import warnings

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")

# What a constructor cannot do without, by the class' name.
NEEDED = {
    **{f"{kind}{n}d": dict(in_channels=4, out_channels=6, kernel_size=3) for kind in ("Conv", "ConvTranspose") for n in (1, 2, 3)},
    **{f"Lazy{kind}{n}d": dict(out_channels=6, kernel_size=3) for kind in ("Conv", "ConvTranspose") for n in (1, 2, 3)},
    **{f"{kind}{n}d": dict(num_features=4) for kind in ("BatchNorm", "InstanceNorm") for n in (1, 2, 3)},
    **{f"{kind}Pool{n}d": dict(kernel_size=2) for kind in ("Max", "Avg") for n in (1, 2, 3)},
    **{f"MaxUnpool{n}d": dict(kernel_size=2) for n in (1, 2, 3)},
    **{f"LPPool{n}d": dict(norm_type=2, kernel_size=2) for n in (1, 2, 3)},
    **{f"Adaptive{kind}Pool{n}d": dict(output_size=2) for kind in ("Max", "Avg") for n in (1, 2, 3)},
    **{f"FractionalMaxPool{n}d": dict(kernel_size=2, output_size=3) for n in (2, 3)},
    **{f"{kind}Pad{n}d": dict(padding=1) for kind in ("Zero", "Reflection", "Replication", "Circular") for n in (1, 2, 3)},
    **{f"ConstantPad{n}d": dict(padding=1, value=2.5) for n in (1, 2, 3)},
    **{name: dict(input_size=3, hidden_size=4) for name in ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")},
    "Linear": dict(in_features=3, out_features=4), "LazyLinear": dict(out_features=4),
    "Bilinear": dict(in1_features=2, in2_features=3, out_features=4), "SyncBatchNorm": dict(num_features=4),
    "Embedding": dict(num_embeddings=5, embedding_dim=3), "EmbeddingBag": dict(num_embeddings=5, embedding_dim=3),
    "LayerNorm": dict(normalized_shape=(3, 4)), "RMSNorm": dict(normalized_shape=4), "GroupNorm": dict(num_groups=2, num_channels=4),
    "LocalResponseNorm": dict(size=2), "CrossMapLRN2d": dict(size=2), "MultiheadAttention": dict(embed_dim=4, num_heads=2),
    "Transformer": dict(d_model=4, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=6),
    "TransformerEncoderLayer": dict(d_model=4, nhead=2, dim_feedforward=6), "ChannelShuffle": dict(groups=2),
    "TransformerDecoderLayer": dict(d_model=4, nhead=2, dim_feedforward=6), "PixelShuffle": dict(upscale_factor=2),
    "PixelUnshuffle": dict(downscale_factor=2), "Threshold": dict(threshold=0.1, value=2), "Unflatten": dict(dim=1, unflattened_size=(2, 3)),
    "Fold": dict(output_size=(4, 5), kernel_size=2), "Unfold": dict(kernel_size=2), "AdaptiveLogSoftmaxWithLoss": dict(
        in_features=4, n_classes=9, cutoffs=[3, 6]), "Upsample": dict(scale_factor=2), "UpsamplingNearest2d": dict(scale_factor=2),
    "UpsamplingBilinear2d": dict(size=(3, 4)), "LinearCrossEntropyLoss": None,
    "TransformerEncoder": None, "TransformerDecoder": None,         # made of layers; below
    "Module": None, "Container": None, "RNNBase": None, "RNNCellBase": None}
# Another value than the default, by the option's name.
OTHERS = dict(
    stride=2, padding=1, dilation=2, groups=2, bias=False, padding_mode="circular", output_padding=0, eps=1e-3, momentum=None,
    affine=True, track_running_stats=True, elementwise_affine=False, num_layers=2, nonlinearity="relu", batch_first=True,
    dropout=0.25, bidirectional=True, proj_size=2, ceil_mode=True, return_indices=True, count_include_pad=False,
    divisor_override=3, inplace=True, p=0.3, alpha=0.7, beta=2.0, threshold=5.0, lambd=0.3, negative_slope=0.2, lower=0.2,
    upper=0.4, min_val=-2.0, max_val=2.0, init=0.3, num_parameters=3, dim=1, approximate="tanh", reduction="sum", ignore_index=2,
    label_smoothing=0.1, margin=0.3, delta=0.5, blank=1, zero_infinity=True, log_input=False, full=True, log_target=True,
    swap=True, padding_idx=1, max_norm=1.5, norm_type=1.0, scale_grad_by_freq=True, sparse=True, mode=None, include_last_offset=True,
    k=2.0, size=None, add_bias_kv=True, add_zero_attn=True, kdim=3, vdim=5, norm_first=True, activation="gelu", layer_norm_eps=1e-3,
    start_dim=0, end_dim=-2, div_value=2.0, head_bias=True, keepdim=True, output_ratio=None, align_corners=None,
    recompute_scale_factor=True, output_size=None, dtype=None)


def classes():
    for name in sorted(dir(torch.nn)):
        made = getattr(torch.nn, name)
        if isinstance(made, type) and issubclass(made, torch.nn.Module) and not isinstance(NEEDED.get(name, {}), type(None)):
            yield name


def cases(name):
    """Keyword arguments: what is needed, and each option beside it."""
    needed = NEEDED.get(name, {})
    yield needed
    for option in inspect.signature(getattr(torch.nn, name).__init__).parameters:
        if OTHERS.get(option) is not None and option not in needed:
            yield {**needed, option: OTHERS[option]}
    if name.endswith(("Norm1d", "Norm2d", "Norm3d")):
        yield {**needed, "affine": False, "track_running_stats": False}
    yield {**needed, "dtype": "float64"}


def made(T, name, options):
    options = {k: getattr(T, v) if k == "dtype" else v for k, v in options.items()}
    T.manual_seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return getattr(T.nn, name)(**options)
        except Exception as error:
            return type(error).__name__


def shown(T, module):
    """What a layer shows of itself, and the stream after it was made."""
    after = T.rand(1).item()
    if isinstance(module, str):
        return module, after, [], [], {}
    state = module.state_dict()
    return repr(module), after, [(k, str(v.dtype), is_lazy(v) or tuple(v.shape)) for k, v in state.items()], \
        [(k, p.requires_grad) for k, p in module.named_parameters()], {k: v["version"] for k, v in state._metadata.items()}


def is_lazy(v):
    return "Uninitialized" in type(v).__name__


@pytest.mark.parametrize("name", classes())
def test_layer_with_each_option(name):
    for options in cases(name):
        theirs, ours = made(torch, name, options), made(rushlight, name, options)
        assert shown(rushlight, ours) == shown(torch, theirs), options
        if isinstance(ours, str):
            continue
        for (key, a), b in zip(ours.state_dict().items(), theirs.state_dict().values()):
            if not is_lazy(b):
                np.testing.assert_allclose(a.double().numpy(), b.double().numpy(), rtol=3e-7, atol=1e-7, err_msg=f"{options} {key}")
        assert ours.training and repr(copy.deepcopy(ours)) == repr(ours)


def stacks(T):
    nn = T.nn
    T.manual_seed(5)
    layer, other = nn.TransformerEncoderLayer(4, 2, 6), nn.TransformerDecoderLayer(4, 2, 6)
    return [nn.TransformerEncoder(layer, 2), nn.TransformerEncoder(layer, 1, nn.LayerNorm(4), enable_nested_tensor=False),
            nn.TransformerDecoder(other, 2), nn.TransformerDecoder(other, 1, nn.LayerNorm(4)),
            nn.Sequential(nn.Linear(2, 3), nn.ReLU()), nn.ModuleList([nn.Linear(2, 2)] * 3 + [nn.ReLU()]), nn.ModuleDict({"a": nn.Tanh()}),
            nn.ParameterList([T.ones(2), nn.Parameter(T.ones(3, 1))]), nn.ParameterDict({"w": nn.Parameter(T.ones(2))}),
            nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)), nn.utils.parametrizations.spectral_norm(nn.Linear(2, 3)),
            nn.utils.parametrizations.orthogonal(nn.Linear(2, 3))]


def test_containers_and_parametrised_layers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for ours, theirs in zip(stacks(rushlight), stacks(torch), strict=True):
            assert repr(ours) == repr(theirs)
            assert [(k, tuple(v.shape)) for k, v in ours.state_dict().items()] == [(k, tuple(v.shape)) for k, v in theirs.state_dict().items()]


# -- load_state_dict ------------------------------------------------------------------------------------
def net(T):
    return T.nn.Sequential(T.nn.Linear(2, 3), T.nn.BatchNorm1d(3), T.nn.ModuleDict({"a": T.nn.Conv2d(1, 2, 3), "b": T.nn.LSTM(2, 2)}))


def without(state, *keys):
    return {k: v for k, v in state.items() if k not in keys}


STATES = {      # what is loaded
    "nothing": lambda T, s: {}, "missing": lambda T, s: without(s, "0.weight", "1.running_mean"),
    "unexpected": lambda T, s: {**s, "x": T.ones(1), "0.more": T.ones(2)},
    "both": lambda T, s: {**without(s, "2.b.weight_ih_l0"), "head.weight": T.ones(2)},
    "shapes": lambda T, s: {**s, "0.weight": T.ones(4, 2), "2.a.bias": T.ones(3)},
    "all": lambda T, s: {**without(s, "0.bias"), "0.weight": T.ones(3, 3), "y": T.ones(1)},
    "no tensor": lambda T, s: {**s, "0.weight": [1.0]}, "one number": lambda T, s: {**s, "0.bias": T.tensor(1.0)},
    "prefix": lambda T, s: {f"module.{k}": v for k, v in s.items()}, "dtype": lambda T, s: {k: v.double() for k, v in s.items()}}


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize("strict", [True, False])
def test_load_state_dict_word_by_word(kind, strict):
    said = []
    for T in (rushlight, torch):
        module = net(T)
        try:
            said.append(repr(module.load_state_dict(STATES[kind](T, module.state_dict()), strict=strict)))
        except Exception as error:
            said.append((type(error).__name__, str(error)))
    assert said[0] == said[1]
