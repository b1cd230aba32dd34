"""Eight queens by hill climbing: no queen may attack another.

    rushlight run examples/hill_climbing.py

A state is the row of the queen in each column; a neighbour moves one queen within its column. Greedy
steps end in a local minimum most of the time, so the climb starts again somewhere else.
"""
import argparse
from random import Random

from rushlight.learn import hill_climb


def attacks(rows):
    """How many pairs of queens stand in one row or on one diagonal."""
    return sum(rows[i] == rows[j] or abs(rows[i] - rows[j]) == j - i
               for i in range(len(rows)) for j in range(i + 1, len(rows)))


def moves(rows):
    for column, old in enumerate(rows):
        for row in range(len(rows)):
            if row != old:
                yield (*rows[:column], row, *rows[column + 1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queens", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    random = Random(args.seed)
    for start in range(1, 1001):
        found = hill_climb(tuple(random.randrange(args.queens) for _ in range(args.queens)), moves, attacks)
        print(f"start {start}: attacks {' > '.join(f'{e:.0f}' for e in found.history)}")
        if not found.energy:
            break
    for row in range(args.queens):
        print(" ".join("Q" if found.state[c] == row else "." for c in range(args.queens)))


if __name__ == "__main__":
    main()
