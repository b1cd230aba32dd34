"""Hill climbing and simulated annealing."""
import math

import pytest

from rushlight import learn

BUMPY = [5, 3, 4, 6, 2, 1, 7, 0, 9]         # local minima at 1, 5 and 7


def next_to(i):
    return [j for j in (i - 1, i + 1) if 0 <= j < len(BUMPY)]


@pytest.mark.parametrize("first", [False, True])
def test_climbing_ends_in_the_next_minimum(first):
    found = learn.hill_climb(3, next_to, BUMPY.__getitem__, first=first)
    assert found.state == (1 if first else 5)
    assert found.history == ((6, 4, 3) if first else (6, 2, 1)) and found.energy == found.history[-1]
    assert learn.hill_climb(3, next_to, BUMPY.__getitem__, max_steps=1).history == (6, 2)


def test_annealing_gets_out_of_a_minimum_and_is_the_same_for_a_seed():
    walk = lambda seed: learn.simulated_annealing(
        1, BUMPY.__getitem__, lambda i, random: random.choice(next_to(i)), T=20.0, steps=2000, seed=seed)
    found = walk(0)
    assert found.state == 7 and found.energy == 0 and len(found.history) == 2001 == found.evaluations
    assert walk(0) == found and walk(1).history != found.history


def test_best_state_is_kept_when_the_walk_leaves_it():
    found = learn.simulated_annealing(0, BUMPY.__getitem__, lambda i, _: (i + 1) % 9, steps=9,
                                      acceptance=lambda before, after, t: 1.0)
    assert found.state == 7 and found.history[-1] == 5


def test_probability_schedule_and_their_arguments():
    assert learn.metropolis(1, 1, 0.0) == 1 and learn.metropolis(1, 2, 0.0) == 0
    assert learn.metropolis(1, 3, 2.0) == math.exp(-1)
    schedule = learn.cooling(8.0, 2.0)
    assert schedule(0) == 8 and schedule(0.5) == pytest.approx(4)
    with pytest.raises(ValueError, match="positive"):
        learn.cooling(0.0, 1.0)
    seen = []
    learn.simulated_annealing(0, float, lambda r, _: r + 1, steps=4, temperature=lambda part: 10 * part,
                              acceptance=lambda *args: seen.append(args) or 1.0)
    assert seen == [(0, 1, 0), (1, 2, 2.5), (2, 3, 5), (3, 4, 7.5)]
