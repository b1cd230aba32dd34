"""Choosing a regularisation by cross-validation, and one honest number at the end.

    rushlight run examples/cross_validation.py

Each weight decay is judged by 5 folds of the training data; the best one is fitted to all of it and
tested once on data that had no part in the choice.
"""
import argparse

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold

import rushlight as torch
from rushlight import learn, metrics, nn
from rushlight.utils import seed_everything


def load():
    """Samples with 30 features, standardised, and whether a tumour is benign; the last 100 to test."""
    x, y = load_breast_cancer(return_X_y=True)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    order = torch.randperm(len(x))
    x, y = x[order], y[order]
    x = (x - x[:-100].mean(0)) / x[:-100].std(0)
    return (x[:-100], y[:-100]), (x[-100:], y[-100:])


def fit(data, weight_decay):
    x, y = data
    torch.manual_seed(0)
    model = nn.Linear(30, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05, weight_decay=weight_decay)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def evaluate(model, data):
    x, y = data
    return metrics.roc_auc(model(x)[:, 1], y)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=5)
    args = parser.parse_args()
    seed_everything(0)
    train, test = load()
    found = learn.search(fit, evaluate, train, [0.0, 0.01, 0.1, 1.0], StratifiedKFold(args.folds), test=test)
    for trial in found.trials:
        print(f"weight decay {trial.setting:<5} AUC {trial.mean:.4f} +- {trial.std:.4f}")
    guesses = found.model(test[0])
    print(f"best {found.best.setting}, tested once: AUC {found.test:.4f}, "
          f"F1 {float(metrics.f1(guesses, test[1], average='binary')):.4f}")
    print("confusion matrix", metrics.confusion_matrix(guesses, test[1]).tolist())


if __name__ == "__main__":
    main()
