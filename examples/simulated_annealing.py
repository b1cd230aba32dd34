"""A short tour through thirty towns by simulated annealing, and what hill climbing makes of it.

    rushlight run examples/simulated_annealing.py

A state is an order of towns, its energy the tour's length, a neighbour the tour with one stretch reversed.
Hill climbing looks at all neighbours and ends by itself; annealing looks at as many tours as it is given.
"""
import argparse
import math
from random import Random

from rushlight.learn import cooling, hill_climb, simulated_annealing


def reversed_between(tour, i, j):
    return tour[:i] + tour[i:j][::-1] + tour[j:]


def neighbour(tour, random):
    i, j = sorted(random.sample(range(1, len(tour) + 1), 2))
    return reversed_between(tour, i, j)


def neighbours(tour):
    n = len(tour)
    return (reversed_between(tour, i, j) for i in range(1, n) for j in range(i + 2, n + 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--towns", type=int, default=30)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    random = Random(args.seed)
    places = [(random.random(), random.random()) for _ in range(args.towns)]

    def length(tour):
        return sum(math.dist(places[a], places[b]) for a, b in zip(tour, tour[1:] + tour[:1]))

    start = tuple(range(args.towns))
    print(f"as they come  {length(start):.3f}")
    greedy = hill_climb(start, neighbours, length)
    print(f"hill climbing {greedy.energy:.3f} after {greedy.evaluations} tours")
    annealed = simulated_annealing(start, length, neighbour, temperature=cooling(1.0, 0.002), steps=args.steps,
                                   seed=args.seed)
    print(f"annealing     {annealed.energy:.3f} after {annealed.evaluations} tours")


if __name__ == "__main__":
    main()
