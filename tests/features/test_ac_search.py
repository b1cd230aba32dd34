"""AC: search without gradients."""
import math

import rushlight as torch


def ring(state, random):
    """Neighbours on a ring of 40 states."""
    return (state + random.choice((-1, 1))) % 40


def bumpy(state):
    """An energy with local minima every 8 states and the best at 24."""
    return abs(state - 24) / 4 + 2 * math.cos(math.pi * (state - 24) / 4 + math.pi)


def test_ac01_simulated_annealing():
    from rushlight.learn import metropolis, simulated_annealing
    assert metropolis(1.0, 0.5, 1.0) == 1 and metropolis(0.0, 1.0, 1.0) == math.exp(-1) and metropolis(0.0, 1.0, 0.0) == 0
    found = simulated_annealing(0, bumpy, ring, T=5.0, steps=4000, seed=1)
    assert found.state == 24 and found.energy == min(map(bumpy, range(40)))


def test_ac02_its_parameters():
    from rushlight.learn import cooling, simulated_annealing
    seen = []

    def acceptance(before, after, temperature):
        seen.append(temperature)
        return float(after <= before)
    found = simulated_annealing(3, energy=lambda r: abs(r), neighbor=lambda r, random: r + random.choice((-1, 1)),
                                acceptance=acceptance, temperature=cooling(8.0, 1.0), steps=30, seed=0)
    assert found.energy == 0 and seen[0] == 8.0 and seen == sorted(seen, reverse=True) and seen[-1] > 1.0
    assert simulated_annealing(3, abs, ring, T=2.0, steps=5).evaluations == 6


def test_ac03_when_to_use_it():
    """A discrete space without a gradient, a good state in a fixed number of steps: a cut of a graph."""
    from rushlight.learn import simulated_annealing
    torch.manual_seed(0)
    weights = torch.rand(12, 12).triu(1)

    def energy(sides):
        s = torch.tensor(sides)
        return -(weights * (s[:, None] != s)).sum().item()
    flip = lambda sides, random: tuple(side ^ (i == chosen) for chosen in [random.randrange(12)] for i, side in enumerate(sides))
    found = simulated_annealing((0,) * 12, energy, flip, steps=400)
    assert found.evaluations == 401 and found.energy < -0.6 * weights.sum().item()


def test_ac04_hill_climbing():
    from rushlight.learn import hill_climb
    neighbours = lambda state: ((state - 1) % 40, (state + 1) % 40)
    found = hill_climb(20, neighbours, bumpy)
    assert all(bumpy(n) >= found.energy for n in neighbours(found.state)) and list(found.history) == sorted(found.history, reverse=True)
    assert hill_climb(2, neighbours, bumpy).energy > bumpy(24)


def test_ac05_worse_neighbours_against_local_optima():
    from rushlight.learn import hill_climb, simulated_annealing
    stuck = hill_climb(2, lambda state: ((state - 1) % 40, (state + 1) % 40), bumpy)
    free = simulated_annealing(2, bumpy, ring, T=5.0, steps=4000, seed=1)
    assert free.energy < stuck.energy and max(free.history) > free.history[0]
