"""Search from neighbour to neighbour, for what has no gradient: discrete states, black boxes.

Hill climbing only goes where it is better, and ends where no neighbour is. Simulated annealing now and
then goes where it is worse, often while it is hot and hardly ever when it has cooled down, so
it gets out of places where hill climbing ends; it is for large spaces and for a good state in a fixed
time, not for the exact optimum. Both look for the least energy: for the largest, negate it.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, NamedTuple


class Found(NamedTuple):
    """The best state met, its energy, how often energy was asked for, and the energy after each step."""
    state: Any
    energy: float
    evaluations: int
    history: tuple


def hill_climb(start, neighbours: Callable[[Any], Iterable], energy: Callable[[Any], float], *,
               first: bool = False, max_steps: int | None = None) -> Found:
    """Go to better neighbours until there is none.

    Args:
        start: the first state.
        neighbours: neighbours(state) gives the states next to one; states are not to be changed.
        energy: energy(state) is what should be small; a NaN is never better.
        first: take the first better neighbour instead of the best of all.
        max_steps: end after so many steps; without it where no neighbour is better, a local minimum.

    Russell and Norvig, Artificial Intelligence: A Modern Approach, section 4.1.
    """
    asked = 1
    state, least = start, float(energy(start))
    history = [least]
    while max_steps is None or len(history) <= max_steps:
        best = None
        for candidate in neighbours(state):
            asked += 1
            e = float(energy(candidate))
            if e < least or least != least and e == e:
                best, least = candidate, e
                if first:
                    break
        if best is None:
            break
        state = best
        history.append(least)
    return Found(state, least, asked, tuple(history))


def metropolis(before: float, after: float, temperature: float) -> float:
    """The probability to go to a state of another energy: 1 if that is not larger, else exp(-difference / temperature).

    Metropolis et al., Equation of State Calculations by Fast Computing Machines, 1953.
    """
    if after <= before or before != before:
        return 1.0
    return math.exp((before - after) / temperature) if temperature > 0 else 0.0


def cooling(first: float, last: float) -> Callable[[float], float]:
    """A schedule from one temperature to another by the same factor each step (Kirkpatrick et al. 1983).

    ValueError unless both are positive.
    """
    if not (first > 0 and last > 0):
        raise ValueError(f"cooling: temperatures should be positive, but found {first} and {last}")
    return lambda part: first * (last / first) ** part


def simulated_annealing(start, energy: Callable[[Any], float], neighbor: Callable[[Any, Random], Any], *,
                        acceptance: Callable[[float, float, float], float] = metropolis,
                        temperature: Callable[[float], float] | None = None, T: float = 1.0,
                        steps: int = 10_000, seed: int | None = 0) -> Found:
    """Walk from neighbour to neighbour at a falling temperature; the best state met is the result.

    Args:
        start: the first state. The state space is whatever `neighbor` leads to from here.
        energy: E(r), a number, small for good states.
        neighbor: neighbor(state, random) makes a candidate next to a state, drawing from `random`
            (a random.Random); it does not change the state.
        acceptance: P(E(state), E(candidate), temperature), the probability to go there.
        temperature: temperature(part) for the part of the steps that is done, from 0 to below 1;
            without it falls from T to T / 1000 by the same factor each step.
        T: the first temperature, about the difference of energy that should be accepted at the beginning.
        steps: how many candidates are looked at.
        seed: the same seed gives the same walk; None draws one.

    Kirkpatrick, Gelatt and Vecchi, Optimization by Simulated Annealing, Science 220, 1983.
    """
    random = Random(seed)
    schedule = cooling(T, T / 1000) if temperature is None else temperature
    state, here = start, float(energy(start))
    best, least = state, here
    history = [here]
    for i in range(steps):
        candidate = neighbor(state, random)
        there = float(energy(candidate))
        if random.random() < acceptance(here, there, schedule(i / steps)):
            state, here = candidate, there
            if here < least or least != least:
                best, least = state, here
        history.append(here)
    return Found(best, least, steps + 1, tuple(history))
