"""Private training as a whole: engine, optimisers, loaders, validators."""
import copy
import math
import warnings

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.privacy import GradSampleModule, PrivacyEngine, per_sample_grads
from rushlight.privacy.data_loader import DPDataLoader, switch_generator
from rushlight.privacy.grad_sample.ghost import GradSampleModuleFastGradientClipping
from rushlight.privacy.optimizers import (AdaClipDPOptimizer, DPOptimizer, DPOptimizerFastGradientClipping,
                                          DPPerLayerOptimizer)
from rushlight.privacy.schedulers import ExponentialNoise, LambdaGradClip, StepNoise
from rushlight.privacy.utils.batch_memory_manager import BatchMemoryManager
from rushlight.privacy.utils.uniform_sampler import SYSTEM, UniformWithReplacementSampler
from rushlight.privacy.validators import ModuleValidator
from rushlight.privacy.validators.errors import (IllegalModuleConfigurationError, ShouldReplaceModuleError,
                                                 UnsupportableModuleError, UnsupportedModuleError)
from rushlight.utils.data import DataLoader, TensorDataset

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def program(size=64, batch=16, seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 16), nn.Tanh(), nn.Linear(16, 4))
    data = TensorDataset(torch.randn(size, 1, 8, 8), torch.randint(0, 4, (size,)))
    return model, torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9), DataLoader(data, batch_size=batch)


def private(mode="hooks", clipping="flat", bound=1.0, noise=0.7, engine=None, seed=0, **how):
    model, optimizer, loader = program(seed=seed)
    engine = engine or PrivacyEngine(accountant="rdp")
    made = engine.make_private(module=model, optimizer=optimizer, data_loader=loader, noise_multiplier=noise,
                               max_grad_norm=bound, grad_sample_mode=mode, clipping=clipping, **how)
    return (*made[:2], made[2] if mode == "ghost" else nn.CrossEntropyLoss(), made[-1])


def train(model, optimizer, criterion, loader, epochs=2):
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


def clipped_sum(model, x, y, bound):
    """By hand from the gradients of samples."""
    grads = per_sample_grads(model, nn.functional.cross_entropy, (x, y))
    norms = sum((g * g).flatten(1).sum(1) for g in grads.values()).sqrt()
    c = (bound / (norms + 1e-6)).clamp(max=1.0)
    return {k: (c @ g.flatten(1)).view(g.shape[1:]) for k, g in grads.items()}


def close(found, expected, tol=1e-5):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=tol, atol=tol)


# -- one step ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["hooks", "functorch", "ghost"])
def test_step_without_noise_is_the_mean_of_clipped_gradients(mode):
    model, optimizer, criterion, _ = private(mode, bound=0.1, noise=0.0)
    x, y = torch.randn(9, 1, 8, 8), torch.randint(0, 4, (9,))
    expected = clipped_sum(copy.deepcopy(program()[0]), x, y, 0.1)
    optimizer.zero_grad()
    criterion(model(x), y).backward()
    optimizer.step()
    close([p.grad for p in model.parameters()], [g / 16 for g in expected.values()], 1e-6)


def test_all_modes_train_alike():
    results = [train(*private(mode)) for mode in ("hooks", "functorch", "ghost")]
    close(results[0], results[1])
    close(results[0], results[2])


def test_parts_of_a_batch_are_the_batch():
    whole = train(*private())
    for mode in ("hooks", "ghost"):
        model, optimizer, criterion, loader = private(mode)
        with BatchMemoryManager(data_loader=loader, max_physical_batch_size=5, optimizer=optimizer) as parts:
            close(train(model, optimizer, criterion, parts), whole)


def test_per_layer_clipping():
    bounds = [0.01 * k for k in range(1, 7)]
    model, optimizer, criterion, _ = private(clipping="per_layer", bound=bounds, noise=0.0)
    assert type(optimizer) is DPPerLayerOptimizer and optimizer.max_grad_norm == pytest.approx(math.hypot(*bounds))
    x, y = torch.randn(9, 1, 8, 8), torch.randint(0, 4, (9,))
    grads = per_sample_grads(copy.deepcopy(program()[0]), nn.functional.cross_entropy, (x, y))
    criterion(model(x), y).backward()
    optimizer.step()
    for p, g, bound in zip(model.parameters(), grads.values(), bounds):
        c = (bound / (g.flatten(1).norm(dim=1) + 1e-6)).clamp(max=1.0)
        torch.testing.assert_close(p.grad, (c @ g.flatten(1)).view(p.shape) / 16, rtol=1e-5, atol=1e-7)


def test_adaptive_clipping_follows_the_quantile():
    options = dict(target_unclipped_quantile=0.5, clipbound_learning_rate=0.3, max_clipbound=50.0, min_clipbound=1e-3,
                   unclipped_num_std=1.0)
    model, optimizer, criterion, loader = private(clipping="adaptive", bound=40.0, noise=0.5, **options)
    assert type(optimizer) is AdaClipDPOptimizer
    assert optimizer.noise_scale == pytest.approx((0.5**-2 - 2.0**-2)**-0.5)
    train(model, optimizer, criterion, loader, 6)
    assert 1e-3 <= optimizer.max_grad_norm < 30
    with pytest.raises(ValueError, match="noise_multiplier must be smaller"):
        private(clipping="adaptive", noise=2.0, **options)


def test_noise_has_its_deviation_whatever_the_gradients():
    model, optimizer, criterion, _ = private(bound=0.5, noise=3.0, noise_generator=torch.Generator().manual_seed(1))
    x, y = torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.int64)
    criterion(model(x), y).backward()
    optimizer.step()            # nobody in the batch: noise only
    found = torch.cat([p.grad.flatten() for p in model.parameters()]) * 16
    assert abs(found.std().item() / 1.5 - 1) < 0.15 and not found.isnan().any()


def test_secure_mode_takes_no_generator_and_trains():
    engine = PrivacyEngine(accountant="rdp", secure_mode=True)
    with pytest.raises(ValueError, match="prohibited"):
        private(engine=engine, noise_generator=torch.Generator())
    model, optimizer, criterion, loader = private(engine=engine)
    assert loader.batch_sampler.generator is SYSTEM
    assert not any(p.isnan().any() for p in train(model, optimizer, criterion, loader, 1))


def test_gradients_must_be_cleared_and_there():
    model, optimizer, criterion, _ = private(poisson_sampling=False)
    x, y = torch.randn(4, 1, 8, 8), torch.randint(0, 4, (4,))
    with pytest.raises(ValueError, match="not initialized"):
        optimizer.step()
    criterion(model(x), y).backward()
    optimizer.step()
    with pytest.raises(ValueError, match="zero_grad"):
        optimizer.step()
    plain = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="GradSampleModule"):
        DPOptimizer(torch.optim.SGD(plain.parameters(), lr=1), noise_multiplier=1, max_grad_norm=1,
                    expected_batch_size=1).step()


def test_accumulation_is_refused_with_poisson_sampling_and_counted_without():
    x, y = torch.randn(4, 1, 8, 8), torch.randint(0, 4, (4,))
    model, optimizer, criterion, _ = private()
    criterion(model(x), y).backward()
    with pytest.raises(ValueError, match="BatchMemoryManager"):
        criterion(model(x), y).backward()
    engine = PrivacyEngine(accountant="rdp")
    model, optimizer, criterion, _ = private(poisson_sampling=False, engine=engine)
    for _ in range(2):
        criterion(model(x), y).backward()
    assert optimizer.accumulated_iterations == 2
    optimizer.step()
    assert engine.accountant.history == [(0.7, 0.5, 1)]


@pytest.mark.parametrize("how,message", [
    (dict(loss_reduction="other"), "Unexpected value for loss_reduction"),
    (dict(expected_batch_size=None), "expected batch size")])
def test_optimizer_arguments(how, message):
    options = dict(noise_multiplier=1.0, max_grad_norm=1.0, expected_batch_size=4, loss_reduction="mean")
    with pytest.raises(ValueError, match=message):
        DPOptimizer(torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=1), **{**options, **how})


def test_optimizer_stands_for_the_one_inside():
    model, optimizer, criterion, loader = private()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    train(model, optimizer, criterion, loader, 1)
    schedule.step()
    assert optimizer.original_optimizer.param_groups[0]["lr"] == 0.25
    state = optimizer.state_dict()
    assert state["state"] and repr(optimizer) == repr(optimizer.original_optimizer)
    optimizer.load_state_dict(state)


# -- the engine --------------------------------------------------------------------------------------
def test_account_counts_steps_at_the_rate_that_sampling_has():
    engine = PrivacyEngine(accountant="rdp")
    train(*private(engine=engine))
    ((sigma, rate, steps),) = engine.accountant.history
    assert (sigma, steps) == (0.7, 8) and 0.25 <= rate <= 0.25 + 2**-24
    assert engine.get_epsilon(1e-5) > 0


def test_noise_for_a_budget():
    model, optimizer, loader = program()
    engine = PrivacyEngine(accountant="rdp")
    model, optimizer, loader = engine.make_private_with_epsilon(
        module=model, optimizer=optimizer, data_loader=loader, target_epsilon=4.0, target_delta=1e-5, epochs=2,
        max_grad_norm=1.0)
    train(model, optimizer, nn.CrossEntropyLoss(), loader)
    assert 3.9 < engine.get_epsilon(1e-5) <= 4.0


def test_shuffled_batches_are_reported_as_what_they_are():
    with pytest.warns(UserWarning, match="does not hold for shuffled batches"):
        private(poisson_sampling=False)


def test_foreign_parameters_are_refused():
    model, _, loader = program()
    other = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=1)
    with pytest.raises(ValueError, match="different than optimizer Parameters"):
        PrivacyEngine().make_private(module=model, optimizer=other, data_loader=loader, noise_multiplier=1, max_grad_norm=1)


def test_checkpoints(tmp_path):
    engine = PrivacyEngine(accountant="rdp")
    model, optimizer, criterion, loader = private(engine=engine)
    train(model, optimizer, criterion, loader, 1)
    engine.save_checkpoint(path=tmp_path / "state", module=model, optimizer=optimizer, checkpoint_dict={"epoch": 3})
    again = PrivacyEngine(accountant="rdp")
    model2, optimizer2, *_ = private(engine=again, seed=7)
    found = again.load_checkpoint(path=tmp_path / "state", module=model2, optimizer=optimizer2)
    assert found["epoch"] == 3 and again.accountant.history == engine.accountant.history
    close(model2.parameters(), model.parameters(), 0)
    close([s["momentum_buffer"] for s in optimizer2.state.values()], [s["momentum_buffer"] for s in optimizer.state.values()], 0)


def test_hooks_without_a_module_round_it():
    model, optimizer, loader = program()
    hooks, optimizer, loader = PrivacyEngine().make_private(
        module=model, optimizer=optimizer, data_loader=loader, noise_multiplier=0.7, max_grad_norm=1.0, wrap_model=False)
    close(train(model, optimizer, nn.CrossEntropyLoss(), loader), train(*private()))
    hooks.cleanup()
    assert not hasattr(model[0].weight, "grad_sample")


def test_unknown_options():
    for how, error in ((dict(clipping="other"), ValueError), (dict(mode="other"), ValueError),
                       (dict(mode="ew"), NotImplementedError), (dict(mode="ghost", clipping="per_layer"), ValueError)):
        with pytest.raises(error):
            private(**how)


# -- ghost mode --------------------------------------------------------------------------------------
def test_ghost_norms_and_losses():
    model = GradSampleModuleFastGradientClipping(program()[0], max_grad_norm=0.1)
    x, y = torch.randn(9, 1, 8, 8), torch.randint(0, 4, (9,))
    grads = per_sample_grads(copy.deepcopy(program()[0]), nn.functional.cross_entropy, (x, y))
    norms = sum((g * g).flatten(1).sum(1) for g in grads.values()).sqrt()
    with pytest.raises(AttributeError, match="per_sample_gradient_norms"):
        model.per_sample_gradient_norms
    nn.functional.cross_entropy(model(x), y).backward()
    torch.testing.assert_close(model.get_norm_sample(), norms, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.get_clipping_coef(), (0.1 / (norms + 1e-6)).clamp(max=1.0), rtol=1e-5, atol=1e-6)


def test_losses_add_and_scale():
    model, optimizer, criterion, _ = private("ghost", noise=0.0, bound=1e6)
    assert type(optimizer) is DPOptimizerFastGradientClipping
    x, y = torch.randn(9, 1, 8, 8), torch.randint(0, 4, (9,))
    loss = criterion(model(x), y)
    plain = nn.functional.cross_entropy(program()[0](x), y).item()
    assert loss.item() == pytest.approx(plain, rel=1e-6)
    assert ((2 * loss + loss - loss) / 2 + 1).item() == pytest.approx(plain + 1, rel=1e-6)


def test_ghost_mode_needs_its_criterion():
    model, optimizer, _, _ = private("ghost")
    model(torch.randn(3, 1, 8, 8)).sum().backward()
    with pytest.raises(ValueError, match="criterion that make_private returns"):
        optimizer.step()


def test_losses_of_sequences():
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 9))
    plain = copy.deepcopy(inner)
    model = GradSampleModuleFastGradientClipping(inner, max_grad_norm=1e9)
    optimizer = DPOptimizerFastGradientClipping(torch.optim.SGD(inner.parameters(), lr=0.1), noise_multiplier=0.0,
                                                max_grad_norm=1e9, expected_batch_size=4)
    from rushlight.privacy.utils import DPLossFastGradientClipping
    criterion = DPLossFastGradientClipping(model, optimizer, nn.CrossEntropyLoss(ignore_index=0))
    words, target = torch.randint(0, 9, (4, 5)), torch.randint(0, 9, (4, 5))
    logits = model(words)
    criterion(logits.flatten(0, 1), target.flatten(), shape=logits.shape[:2]).backward()
    losses = [nn.functional.cross_entropy(plain(words[i]), target[i], ignore_index=0) for i in range(4)]
    sum(losses).backward()
    close([p.grad for p in inner.parameters()], [p.grad for p in plain.parameters()], 1e-5)


# -- sampling ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("generator", [None, SYSTEM])
def test_sampling_is_poisson(generator):
    torch.manual_seed(0)
    n, q, steps = 200, 0.1, 2000
    sampler = UniformWithReplacementSampler(num_samples=n, sample_rate=q, steps=steps, generator=generator)
    batches = list(sampler)
    sizes = torch.tensor([float(len(b)) for b in batches])
    assert len(sampler) == len(batches) == steps
    assert abs(sizes.mean().item() - n * q) < 6 * math.sqrt(n * q * (1 - q) / steps)
    assert abs(sizes.var().item() / (n * q * (1 - q)) - 1) < 6 * math.sqrt(2 / steps)
    together = sum(1 for b in batches if 0 in b and 1 in b)
    assert abs(together - steps * q * q) < 6 * math.sqrt(steps * q * q)
    assert q <= sampler.probability <= q + 2**-24


def test_sampler_arguments():
    with pytest.raises(ValueError, match="num_samples"):
        UniformWithReplacementSampler(num_samples=0, sample_rate=0.5)
    with pytest.raises(ValueError, match="sample_rate"):
        UniformWithReplacementSampler(num_samples=3, sample_rate=0.0)
    assert len(UniformWithReplacementSampler(num_samples=3, sample_rate=0.25)) == 4


def test_empty_batches_have_shapes():
    data = TensorDataset(torch.randn(5, 2, 3), torch.arange(5))
    loader = DPDataLoader(data, sample_rate=1e-9, collate_fn=None)
    loader.batch_sampler.steps = 3
    for x, y in loader:
        assert x.shape == (0, 2, 3) and y.shape == (0,) and y.dtype == torch.int64
    collate = loader.collate_fn
    assert collate([data[0], data[1]])[0].shape == (2, 2, 3)
    assert collate([])[0].shape == (0, 2, 3)
    collate.rand_on_empty = True
    assert collate([])[0].shape == (1, 2, 3)
    collate.first_batch = {"x": object()}
    with pytest.raises(TypeError, match="Unsupported batch type"):
        collate([])


def test_training_survives_empty_batches():
    model, optimizer, criterion, loader = private()
    loader.batch_sampler.sample_rate = 0.005
    assert not any(p.isnan().any() for p in train(model, optimizer, criterion, loader, 3))


def test_switched_generator():
    data = TensorDataset(torch.arange(8))
    seeded = [switch_generator(data_loader=DataLoader(data, batch_size=4, shuffle=True),
                               generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    orders = [[b[0].tolist() for b in loader] for loader in seeded]
    assert orders[0] == orders[1]
    with pytest.raises(ValueError, match="nothing to switch"):
        switch_generator(data_loader=DataLoader(data, batch_size=4), generator=None)


# -- validators --------------------------------------------------------------------------------------
def resnet_like():
    return nn.Sequential(nn.Conv2d(3, 48, 3), nn.BatchNorm2d(48), nn.InstanceNorm2d(48, affine=True, track_running_stats=True),
                         nn.Flatten())


def test_layers_that_break_privacy_are_named_with_what_to_put_there():
    errors = ModuleValidator.validate(resnet_like())
    assert [type(e) for e in errors] == [ShouldReplaceModuleError, IllegalModuleConfigurationError]
    assert str(errors[0]).startswith("1 (BatchNorm2d)") and "nn.GroupNorm(16, 48)" in str(errors[0])
    assert "track_running_stats=False" in str(errors[1])
    with pytest.raises(UnsupportedModuleError, match="GroupNorm"):
        ModuleValidator.validate(resnet_like(), strict=True)
    assert not PrivacyEngine().is_compatible(module=resnet_like())
    assert isinstance(errors[0], ValueError)


def test_batch_norm_without_parameters_is_found_as_well():
    assert not ModuleValidator.is_valid(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, affine=False)))


def test_fixing():
    model = resnet_like()
    fixed = PrivacyEngine.get_compatible_module(model)
    assert isinstance(fixed[1], nn.GroupNorm) and fixed[1].num_groups == 16 and isinstance(model[1], nn.BatchNorm2d)
    assert not fixed[2].track_running_stats and ModuleValidator.is_valid(fixed)
    assert type(ModuleValidator.fix(nn.BatchNorm1d(4))) is nn.GroupNorm
    assert type(ModuleValidator.fix(nn.BatchNorm3d(4), replace_bn_with_in=True)) is nn.InstanceNorm3d
    assert ModuleValidator.fix(nn.BatchNorm1d(12), num_groups=3).num_groups == 3
    with pytest.raises(ValueError, match="mutually exclusive"):
        ModuleValidator.fix(nn.BatchNorm1d(4), replace_bn_with_in=True, num_groups=2)
    with pytest.raises(UnsupportableModuleError):
        ModuleValidator.fix(nn.SyncBatchNorm(4), replace_bn_with_in=True)


def test_evaluation_mode_is_refused():
    with pytest.raises(UnsupportedModuleError, match="training mode"):
        ModuleValidator.validate(nn.Linear(2, 2).eval(), strict=True)


# -- schedules ---------------------------------------------------------------------------------------
def test_schedules():
    optimizer = private()[1]
    noise = ExponentialNoise(optimizer, gamma=0.5)
    noise.step()
    assert optimizer.noise_multiplier == pytest.approx(0.35)
    assert noise.state_dict()["last_epoch"] == 1
    steps = StepNoise(optimizer, step_size=2, gamma=0.1)
    steps.step()
    assert optimizer.noise_multiplier == pytest.approx(0.35)
    clip = LambdaGradClip(optimizer, scheduler_function=lambda epoch: 1 / (1 + epoch))
    clip.step()
    assert optimizer.max_grad_norm == pytest.approx(0.5)
    with pytest.raises(ValueError, match="DPOptimizer"):
        ExponentialNoise(torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1), gamma=1.0)


def test_layers_of_opacus_are_the_layers_themselves():
    from rushlight.privacy.layers import DPLSTM, DPMultiheadAttention
    assert DPLSTM is nn.LSTM and DPMultiheadAttention is nn.MultiheadAttention
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GradSampleModule(DPLSTM(2, 2))


def test_step_lets_go_of_the_gradients_of_samples_unless_told_otherwise():
    x, y = torch.randn(4, 1, 8, 8), torch.randint(0, 4, (4,))
    model, optimizer, criterion, _ = private()
    criterion(model(x), y).backward()
    weight = next(model.parameters())
    assert weight.grad_sample.shape == (4, 4, 1, 3, 3)
    optimizer.step()
    with pytest.raises(RuntimeError, match="keeps_grad_sample"):
        weight.grad_sample
    optimizer.zero_grad()
    assert weight.grad_sample is None
    optimizer.keeps_grad_sample = True
    criterion(model(x), y).backward()
    optimizer.step()
    assert weight.grad_sample.shape == (4, 4, 1, 3, 3)


def test_nothing_of_a_batch_stays_alive():
    import gc
    import weakref
    gc.collect()
    gc.disable()
    try:
        inner = nn.Sequential(nn.Embedding(9, 8), nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True))
        model, seen = GradSampleModule(inner), []
        inner[1].linear1.register_forward_hook(lambda m, args, out: seen.append(weakref.ref(out.grad_fn)))
        out = model(torch.randint(0, 9, (3, 4)))
        loss = out.sum()
        loss.backward()
        del out, loss
        assert seen[0]() is None
    finally:
        gc.enable()


def test_graph_is_used_once():
    model = GradSampleModule(nn.Linear(3, 2))
    loss = model(torch.randn(4, 3)).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()
