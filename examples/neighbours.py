"""Handwritten digits told by their nearest neighbours, without training.

    rushlight run examples/neighbours.py
    rushlight run examples/neighbours.py --algorithm ball_tree

Classification by k neighbours and by all within a radius, and regression: the lower half of an image
as the average of its neighbours' lower halves.
"""
import argparse

from sklearn.datasets import load_digits

import rushlight as torch
from rushlight import learn, metrics


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithm", choices=["brute", "kd_tree", "ball_tree"], default="brute")
    parser.add_argument("-k", type=int, default=3)
    args = parser.parse_args()
    x, y = (torch.tensor(a) for a in load_digits(return_X_y=True))
    known, asked, labels, truth = x[:-300], x[-300:], y[:-300], y[-300:]

    nearest = learn.KNeighborsClassifier(args.k, weights="distance", algorithm=args.algorithm).fit(known, labels)
    print(f"{args.k} neighbours: accuracy {float(metrics.accuracy(nearest.predict(asked), truth)):.4f}")

    near = learn.RadiusNeighborsClassifier(25.0, outlier_label=0, algorithm=args.algorithm).fit(known, labels)
    print(f"radius 25: accuracy {float(metrics.accuracy(near.predict(asked), truth)):.4f}")

    halves = learn.KNeighborsRegressor(args.k, algorithm=args.algorithm).fit(known[:, :32], known[:, 32:])
    guess, mean = halves.predict(asked[:, :32]), known[:, 32:].mean(0).expand(300, 32)
    print(f"lower half: mean absolute error {float(metrics.mae(guess, asked[:, 32:])):.3f}, "
          f"of the mean image {float(metrics.mae(mean, asked[:, 32:])):.3f}")


if __name__ == "__main__":
    main()
