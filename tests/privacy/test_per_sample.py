"""Per-sample gradients: by a loop over samples, by hooks and by vmap the same numbers."""
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.func import functional_call, grad, vmap
from rushlight.nn import functional as F
from rushlight.privacy import GradSampleModule, per_sample_grads
from rushlight.privacy.grad_sample.uses import uses_of

N = 5


class Custom(nn.Module):
    """Parameters of its own beside a layer."""

    def __init__(self):
        super().__init__()
        self.w, self.inner = nn.Parameter(torch.randn(6, 5) * 0.3), nn.Linear(5, 3)

    def forward(self, x):
        return self.inner(torch.tanh(x @ self.w)).relu() + self.w.sum()


class Words(nn.Module):
    """Embedding, something over sequences, a linear layer."""

    def __init__(self, inner, is_attention=False):
        super().__init__()
        self.table, self.inner, self.out = nn.Embedding(11, 8, padding_idx=0), inner, nn.Linear(8, 3)
        self.is_attention = is_attention

    def forward(self, words):
        h = self.table(words)
        h = self.inner(h, h, h) if self.is_attention else self.inner(h)
        return self.out(h[0] if isinstance(h, tuple) else h).mean(1)


class Crossing(nn.Module):
    """Attention whose queries are not its keys."""

    def __init__(self):
        super().__init__()
        self.attention, self.q, self.out = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.attention(self.q(x), x, x)[0]).mean(1)


class Twice(nn.Module):
    """A layer that is used twice."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm, self.out = nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, x):
        return self.out(self.norm(self.layer(torch.tanh(self.layer(x))))).mean(1)


class Tied(nn.Module):
    """One parameter in two layers of different kinds."""

    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
        self.out.weight = self.table.weight

    def forward(self, words):
        return self.out(torch.tanh(self.table(words))).mean(1)


def words():
    return torch.randint(0, 11, (N, 6))


KINDS = {
    "mlp": lambda: (nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(N, 6)),
    "sequence": lambda: (nn.Sequential(nn.Linear(6, 30), nn.Tanh(), nn.Linear(30, 3), nn.Flatten(), nn.Linear(12, 3)),
                         torch.randn(N, 4, 6)),
    "conv1d": lambda: (nn.Sequential(nn.Conv1d(3, 4, 4, padding="same"), nn.Conv1d(4, 4, 3, padding=1, padding_mode="circular"),
                                     nn.Flatten(), nn.Linear(40, 3)), torch.randn(N, 3, 10)),
    "conv2d": lambda: (nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 6, 3, padding="same", groups=2),
                                     nn.Conv2d(6, 40, 4, dilation=1), nn.Flatten(), nn.Linear(40, 3)), torch.randn(N, 3, 8, 8)),
    "conv3d": lambda: (nn.Sequential(nn.Conv3d(2, 3, 2, padding=(1, 0, 1), stride=(1, 2, 1)), nn.Flatten(), nn.Linear(120, 3)),
                       torch.randn(N, 2, 4, 5, 3)),
    "norms": lambda: (nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True),
                                    nn.LayerNorm([4, 4, 4]), nn.Flatten(), nn.RMSNorm(64), nn.Linear(64, 3)),
                      torch.randn(N, 3, 6, 6)),
    "lstm": lambda: (Words(nn.LSTM(8, 8, 2, batch_first=True)), words()),
    "gru": lambda: (Words(nn.GRU(8, 4, 1, batch_first=True, bidirectional=True)), words()),
    "rnn": lambda: (Words(nn.RNN(8, 8, 1, batch_first=True, bias=False)), words()),
    "projected_lstm": lambda: (Words(nn.LSTM(8, 9, 1, batch_first=True, proj_size=8)), words()),
    "attention": lambda: (Words(nn.MultiheadAttention(8, 2, batch_first=True), True), words()),
    "attention_with_biases": lambda: (Words(nn.MultiheadAttention(8, 2, batch_first=True, add_bias_kv=True), True), words()),
    "crossing": lambda: (Crossing(), torch.randn(N, 5, 8)),
    "transformer": lambda: (Words(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)), words()),
    "twice": lambda: (Twice(), torch.randn(N, 3, 6)),
    "tied": lambda: (Tied(), torch.randint(0, 7, (N, 4))),
    "custom": lambda: (Custom(), torch.randn(N, 6)),
    "transposed": lambda: (nn.Sequential(nn.ConvTranspose2d(3, 2, 3, 2), nn.Flatten(), nn.Linear(162, 3)), torch.randn(N, 3, 4, 4)),
}


def made(kind):
    torch.manual_seed(3)
    model, x = KINDS[kind]()
    model, x = model.double(), x.double() if x.is_floating_point() else x
    return model, x, torch.randint(0, 3, (N,))


def loss_of(out, y):
    return F.cross_entropy(out.flatten(1)[:, :3], y)


def by_loop(model, x, y):
    names, parameters = zip(*model.named_parameters())
    rows = [torch.autograd.grad(loss_of(model(x[i:i + 1]), y[i:i + 1]), parameters) for i in range(len(y))]
    return {name: torch.stack(found) for name, found in zip(names, zip(*rows))}


def assert_same(expected, found):
    assert expected.keys() == found.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-9, atol=1e-11, msg=lambda m, name=name: f"{name}: {m}")


def wrapped(model, x, y, **how):
    private = GradSampleModule(model, **how)
    loss_of(private(x), y).backward()
    return private, dict(model.named_parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_functional_form_is_the_loop(kind):
    model, x, y = made(kind)
    assert_same(by_loop(model, x, y), per_sample_grads(model, loss_of, (x, y)))
    assert all(p.grad is None and not hasattr(p, "grad_sample") for p in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_vmap_of_the_gradient_is_the_loop(kind):
    model, x, y = made(kind)

    def loss(parameters, sample, label):
        return loss_of(functional_call(model, parameters, (sample.unsqueeze(0),)), label.unsqueeze(0))
    assert_same(by_loop(model, x, y), vmap(grad(loss), in_dims=(None, 0, 0))(dict(model.named_parameters()), x, y))


@pytest.mark.parametrize("everything_by_vmap", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_grad_sample_is_the_loop(kind, everything_by_vmap):
    model, x, y = made(kind)
    expected = by_loop(model, x, y)
    _, parameters = wrapped(model, x, y, force_functorch=everything_by_vmap)
    assert_same(expected, {k: p.grad_sample for k, p in parameters.items()})
    assert_same({k: g.mean(0) for k, g in expected.items()}, {k: p.grad for k, p in parameters.items()})


@pytest.mark.parametrize("kind", KINDS)
def test_norms_and_sums_from_factors_are_those_of_the_gradients(kind):
    model, x, y = made(kind)
    expected, c = by_loop(model, x, y), torch.rand(N).double()
    _, parameters = wrapped(model, x, y)
    for name, p in parameters.items():
        (generation,) = uses_of(p).generations
        g = expected[name]
        torch.testing.assert_close(generation.squares() * N**2, (g * g).flatten(1).sum(1), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(generation.weighted(c) * N, (c @ g.flatten(1)).view(p.shape), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("length,inputs,outputs", [(1, 5, 7), (3, 40, 50), (70, 80, 90), (30, 4, 3)])
def test_every_way_to_norms_of_products(length, inputs, outputs):
    """Two norms, products of positions, gradients in parts, gradients that are kept."""
    torch.manual_seed(0)
    layer, x = nn.Linear(inputs, outputs).double(), torch.randn(6, length, inputs).double()
    private = GradSampleModule(layer, loss_reduction="sum")
    private(x).square().sum().backward()
    (generation,) = uses_of(layer.weight).generations
    g = layer.weight.grad_sample
    torch.testing.assert_close(generation.squares(), (g * g).sum((1, 2)), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(g.sum(0), layer.weight.grad)


def test_batch_may_be_the_second_axis():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0), nn.Linear(6, 2)).double()
    x = torch.randn(3, N, 4).double()
    expected = {k: torch.stack([torch.autograd.grad(model(x[:, i:i + 1]).square().sum(), p)[0] for i in range(N)])
                for k, p in model.named_parameters()}
    private = GradSampleModule(model, batch_first=False, loss_reduction="sum")
    private(x).square().sum().backward()
    assert_same(expected, {k: p.grad_sample for k, p in model.named_parameters()})


def test_packed_sequences_are_told_apart():
    torch.manual_seed(0)
    model = nn.LSTM(3, 4, batch_first=True).double()
    x, lengths = torch.randn(4, 5, 3).double(), torch.tensor([2, 5, 1, 4])
    pack = nn.utils.rnn.pack_padded_sequence
    private = GradSampleModule(model, loss_reduction="sum")
    private(pack(x, lengths, batch_first=True, enforce_sorted=False))[0].data.square().sum().backward()
    found = {k: p.grad_sample for k, p in model.named_parameters()}
    private.to_standard_module()
    expected = {k: torch.stack([torch.autograd.grad(model(x[i:i + 1, :n])[0].square().sum(), p)[0]
                                for i, n in enumerate(lengths.tolist())]) for k, p in model.named_parameters()}
    assert_same(expected, found)


def test_batches_accumulate_in_a_list_and_two_calls_of_one_batch_add_up():
    model, x, y = made("mlp")
    expected = by_loop(model, x, y)
    private, parameters = wrapped(model, x, y)
    loss_of(private(x[:2]), y[:2]).backward()
    assert [len(g) for g in model[0].weight.grad_sample] == [N, 2]
    private.zero_grad()
    (loss_of(private(x), y) + loss_of(private(x), y)).backward()
    assert_same({k: 2 * g for k, g in expected.items()}, {k: p.grad_sample for k, p in parameters.items()})


def test_inputs_that_are_overwritten_later_do_not_matter():
    torch.manual_seed(0)
    layer, x = nn.Linear(3, 2), torch.randn(N, 3)
    private, kept = GradSampleModule(layer, loss_reduction="sum"), x.clone()
    out = private(x).sum()
    x.zero_()
    out.backward()
    torch.testing.assert_close(layer.weight.grad_sample, kept.unsqueeze(1).expand(N, 2, 3))


def test_in_place_activations_behind_a_layer():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 3)).double()
    x, y = torch.randn(N, 3).double(), torch.randint(0, 3, (N,))
    assert_same(by_loop(model, x, y), per_sample_grads(model, loss_of, (x, y)))


def test_frozen_parameters_and_evaluation_are_left_alone():
    model, x, y = made("mlp")
    model[0].weight.requires_grad_(False)
    private, _ = wrapped(model, x, y)
    assert not hasattr(model[0].weight, "grad_sample") and model[0].bias.grad_sample.shape == (N, 8)
    private.zero_grad()
    private.eval()
    loss_of(private(x), y).backward()
    assert model[0].bias.grad_sample is None and model[0].bias.grad is not None
    with torch.no_grad():
        assert not private.train()(x).requires_grad


def test_module_is_as_before_afterwards():
    model, x, y = made("transformer")
    private, _ = wrapped(model, x, y)
    keys = list(model.state_dict())
    assert private.to_standard_module() is model and list(model.state_dict()) == keys
    assert not hasattr(model.out.weight, "grad_sample") and all(p.requires_grad for p in model.parameters())
    assert not model.out._forward_hooks
    GradSampleModule(model)


def test_error_in_forward_leaves_parameters_trainable():
    private = GradSampleModule(nn.Sequential(nn.Linear(3, 2), nn.LSTM(2, 2)))
    with pytest.raises(RuntimeError):
        private(torch.randn(2, 4, 5))
    assert all(p.requires_grad for p in private.parameters())


# -- what is refused -------------------------------------------------------------------------------
def test_hooks_twice():
    model = nn.Linear(2, 2)
    GradSampleModule(model)
    with pytest.raises(ValueError, match="add hooks twice"):
        GradSampleModule(model)


def test_batch_norm_is_refused_by_name():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    with pytest.raises(NotImplementedError, match=r"1 \(BatchNorm2d\)"):
        GradSampleModule(model)
    with pytest.raises(NotImplementedError, match="GroupNorm"):
        per_sample_grads(model, lambda out: out.sum(), torch.randn(2, 1, 5, 5))
    found = per_sample_grads(model.eval(), lambda out: out.sum(), torch.randn(2, 1, 5, 5))
    assert found["1.weight"].shape == (2, 2)


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.w if (x * self.w).sum() > 0 else x - self.w


class Dropping(Branching):
    def forward(self, x):
        return F.dropout(x * self.w, 0.5)


@pytest.mark.parametrize("kind", [Branching, Dropping])
def test_branches_on_values_and_random_numbers_say_what_to_do(kind):
    private = GradSampleModule(nn.Sequential(nn.Linear(3, 3), kind()))
    with pytest.raises(RuntimeError, match=rf"1 \({kind.__name__}\)[\s\S]*register_grad_sampler"):
        private(torch.rand(N, 3)).sum().backward()


def test_layer_without_the_batch_axis_is_refused():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places = nn.Embedding(11, 4), nn.Embedding(6, 4)

        def forward(self, x):
            return self.words(x) + self.places(torch.arange(6))
    with pytest.raises(ValueError, match=r"places \(Embedding\)[\s\S]*expand"):
        GradSampleModule(Positions())(words())


def test_parameter_used_outside_of_its_module_is_refused():
    class Reusing(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x):
            return self.inner(x) @ self.inner.weight
    private = GradSampleModule(Reusing())
    with pytest.raises(RuntimeError, match="inner.weight"):
        private(torch.randn(N, 3)).sum().backward()


def test_registered_sampler_is_used():
    from rushlight.privacy.grad_sample import register_grad_sampler

    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return F.dropout(x, 0.0) * self.w

    @register_grad_sampler(Scale)
    def sampler(module, activations, backprops):
        return {module.w: activations[0] * backprops}
    try:
        layer, x = Scale(), torch.randn(N, 3)
        GradSampleModule(layer, loss_reduction="sum")(x).sum().backward()
        torch.testing.assert_close(layer.w.grad_sample, x)
    finally:
        del GradSampleModule.GRAD_SAMPLERS[Scale]


def test_empty_batch():
    model, x, y = made("conv2d")
    _, parameters = wrapped(model, x[:0], y[:0])
    for p in parameters.values():
        assert p.grad_sample.shape == (0, *p.shape)
        (generation,) = uses_of(p).generations
        assert generation.squares().shape == (0,)
        assert generation.weighted(torch.ones(0).double()).abs().sum() == 0
