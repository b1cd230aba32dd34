"""Accounts of privacy: published values, closed forms, and never less than the truth."""
import itertools
import math
import warnings

import pytest

from rushlight.privacy.accountants import (GaussianAccountant, IAccountant, PRVAccountant, RDPAccountant,
                                           create_accountant, register_accountant, registry)
from rushlight.privacy.accountants.analysis import gdp, prv, rdp
from rushlight.privacy.accountants.utils import get_noise_multiplier

KINDS = ("rdp", "prv", "gdp")


def spent(kind, history, delta=1e-5, **how):
    account = create_accountant(kind)
    account.history = history
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return account.get_epsilon(delta, **how)


def gaussian(sigma, delta):
    """epsilon of one Gaussian of deviation sigma (Balle and Wang 2018, theorem 8), by bisection."""
    def phi(x):
        return math.erfc(-x / math.sqrt(2)) / 2

    def found(e):
        return phi(1 / (2 * sigma) - e * sigma) - math.exp(e) * phi(-1 / (2 * sigma) - e * sigma)
    low, high = 0.0, 200.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if found(middle) > delta else (low, middle)
    return high


# -- values that Opacus publishes in its own tests --------------------------------------------------
def test_published_epsilons():
    assert spent("rdp", [(1.5, 0.04, 2250)]) == pytest.approx(7.32911117143, abs=1e-7)
    assert spent("prv", [(1.5, 0.04, 2249)]) == pytest.approx(6.777395712150674, abs=1e-6)
    assert 6.59 < spent("gdp", [(1.5, 0.04, 2249)], asymptotic=True) < 6.6


@pytest.mark.parametrize("kind,length,expected", [
    ("rdp", dict(epochs=90), 1.416), ("rdp", dict(steps=2000), 1.3562),
    ("prv", dict(epochs=90), 1.34765625), ("prv", dict(steps=2000), 1.2915)])
def test_published_noise_multipliers(kind, length, expected):
    found = get_noise_multiplier(target_epsilon=8, target_delta=1e-5, sample_rate=0.04, accountant=kind, **length)
    assert found == pytest.approx(expected, abs=1e-4)


def test_published_noise_multiplier_of_the_limit():
    found = get_noise_multiplier(target_epsilon=8, target_delta=1e-5, sample_rate=0.04, epochs=90, accountant="gdp",
                                 asymptotic=True)
    assert found == pytest.approx(1.3232421875)


# -- closed forms ------------------------------------------------------------------------------------
@pytest.mark.parametrize("steps", [1, 16])
@pytest.mark.parametrize("sigma", [0.7, 1.0, 4.0])
def test_every_sample_in_every_step_is_the_gaussian_mechanism(sigma, steps):
    truth = gaussian(sigma / math.sqrt(steps), 1e-5)
    history = [(sigma, 1.0, steps)]
    assert spent("gdp", history) == pytest.approx(truth, rel=1e-9)
    assert truth <= spent("prv", history) <= truth + 0.03
    assert truth <= spent("rdp", history) <= 1.2 * truth + 0.3


def test_renyi_divergences_of_the_gaussian_are_exact():
    assert rdp.compute_rdp(q=1.0, noise_multiplier=2.0, steps=3, orders=[1.5, 8]).tolist() == [3 * 1.5 / 8, 3.0]
    assert rdp.compute_rdp(q=0, noise_multiplier=2.0, steps=3, orders=2) == 0
    assert rdp.compute_rdp(q=0.1, noise_multiplier=0, steps=1, orders=2) == math.inf


@pytest.mark.parametrize("alpha", [1.3, 2, 4.7, 11, 40])
@pytest.mark.parametrize("q,sigma", [(0.01, 1.0), (0.3, 0.8), (0.9, 3.0)])
def test_moments_are_the_integral(q, sigma, alpha):
    import numpy as np
    x = np.linspace(-60, 120, 400001)
    log_ratio = np.logaddexp(math.log1p(-q), math.log(q) + (2 * x - 1) / (2 * sigma**2))
    log_density = -x * x / (2 * sigma**2) - math.log(sigma * math.sqrt(2 * math.pi))
    inside = log_density + alpha * log_ratio
    log_a = inside.max() + math.log(np.trapezoid(np.exp(inside - inside.max()), x))
    assert rdp.compute_rdp(q=q, noise_multiplier=sigma, steps=1, orders=alpha) == pytest.approx(log_a / (alpha - 1), rel=1e-7)


def test_limit_is_inverted_exactly():
    for mu, delta in itertools.product((0.1, 1.0, 5.0), (1e-3, 1e-8)):
        assert gdp.delta_eps_mu(eps=gdp.eps_from_mu(mu=mu, delta=delta), mu=mu) == pytest.approx(delta, rel=1e-6)


# -- never less than the truth -----------------------------------------------------------------------
GRID = [(s, q, n) for s, q, n in itertools.product((0.6, 1.0, 3.0), (0.001, 0.05, 0.5, 1.0), (1, 30, 1000))
        if not (n == 1000 and s < 1 and q > 0.1)]


@pytest.mark.slow
@pytest.mark.parametrize("sigma,q,steps", GRID)
def test_never_below_dp_accounting(sigma, q, steps):
    """Against optimistic estimates of privacy loss distributions (Google's dp-accounting)."""
    pld = pytest.importorskip("dp_accounting.pld.privacy_loss_distribution")
    delta = 1e-5
    least = pld.from_gaussian_mechanism(sigma, sampling_prob=q, pessimistic_estimate=False, use_connect_dots=False,
                                        value_discretization_interval=1e-3).self_compose(steps)
    truth = least.get_epsilon_for_delta(delta)
    for kind in KINDS:
        assert spent(kind, [(sigma, q, steps)], delta) >= truth - 1e-9, kind
    most = pld.from_gaussian_mechanism(sigma, sampling_prob=q, value_discretization_interval=1e-3).self_compose(steps)
    assert spent("prv", [(sigma, q, steps)], delta) <= most.get_epsilon_for_delta(delta) + 0.03


def test_different_steps_add_up():
    parts = [(1.5, 0.04, 100), (1.0, 0.02, 300), (2.0, 0.01, 77)]
    for kind in ("rdp", "prv"):
        whole = spent(kind, parts)
        assert max(spent(kind, [p]) for p in parts) < whole < sum(spent(kind, [p]) for p in parts)
    assert spent("prv", [(1.5, 0.04, 50), (1.5, 0.04, 50)]) == pytest.approx(spent("prv", [(1.5, 0.04, 100)]), abs=2e-3)


def test_limit_alone_is_not_believed():
    history = [(1.5, 0.04, 2250)]
    limit = spent("gdp", history, asymptotic=True)
    assert spent("gdp", history) == spent("prv", history) > limit


def test_both_neighbourhoods_count():
    history = [(1.0, 0.5, 10)]
    both = [prv.epsilon_of(history, 1e-5, 0.01, 1e-8, removed) for removed in (True, False)]
    assert spent("prv", history) == max(both)


@pytest.mark.parametrize("kind", KINDS)
def test_no_noise_is_no_privacy_and_no_step_costs_nothing(kind):
    assert spent(kind, []) == 0
    assert spent(kind, [(0.0, 0.1, 1)]) == math.inf


# -- the interface -----------------------------------------------------------------------------------
def test_history_counts_equal_steps_together():
    account = RDPAccountant()
    for sigma in (1.0, 1.0, 2.0, 1.0):
        account.step(noise_multiplier=sigma, sample_rate=0.1)
    assert account.history == [(1.0, 0.1, 2), (2.0, 0.1, 1), (1.0, 0.1, 1)] and len(account) == 3


def test_limit_needs_equal_steps():
    account = GaussianAccountant()
    account.step(noise_multiplier=1.0, sample_rate=0.1)
    with pytest.raises(ValueError, match="stay constant"):
        account.step(noise_multiplier=2.0, sample_rate=0.1)


def test_state_round_trip_and_its_errors():
    account = PRVAccountant()
    account.step(noise_multiplier=1.0, sample_rate=0.1)
    state = account.state_dict({"other": 1})
    assert state["other"] == 1 and state["mechanism"] == "prv" and state["history"] is not account.history
    copy = PRVAccountant()
    copy.load_state_dict(state)
    assert copy.history == account.history
    for broken in (None, {}, {"history": []}, {"mechanism": "prv"}, {**state, "mechanism": "rdp"}):
        with pytest.raises(ValueError):
            copy.load_state_dict(broken)


def test_registry():
    class Own(RDPAccountant):
        pass
    with pytest.raises(ValueError, match="already registered"):
        register_accountant("rdp", Own)
    with pytest.raises(ValueError, match="Unexpected accounting mechanism"):
        create_accountant("own")
    register_accountant("own", Own)
    try:
        assert isinstance(create_accountant("own"), IAccountant)
    finally:
        del registry._ACCOUNTANTS["own"]


def test_noise_multiplier_keeps_the_budget_and_refuses_nonsense():
    sigma = get_noise_multiplier(target_epsilon=3, target_delta=1e-6, sample_rate=0.02, epochs=10)
    assert 2.98 < spent("rdp", [(sigma, 0.02, 500)], 1e-6) <= 3
    with pytest.raises(ValueError, match="EITHER"):
        get_noise_multiplier(target_epsilon=3, target_delta=1e-6, sample_rate=0.02)
    with pytest.raises(ValueError, match="too low"):
        get_noise_multiplier(target_epsilon=1e-9, target_delta=1e-9, sample_rate=1.0, steps=10**6)
