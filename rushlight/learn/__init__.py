"""Learning without gradients, and judging what was learnt: folds, neighbours, search among neighbours."""
from .folds import (Search as Search, Trial as Trial, cross_validate as cross_validate, cv_split as cv_split,
                    k_fold as k_fold, search as search)
from .neighbours import (KNeighborsClassifier as KNeighborsClassifier, KNeighborsRegressor as KNeighborsRegressor,
                         NearestNeighbors as NearestNeighbors,
                         RadiusNeighborsClassifier as RadiusNeighborsClassifier,
                         RadiusNeighborsRegressor as RadiusNeighborsRegressor)
from .steps import (Found as Found, cooling as cooling, hill_climb as hill_climb, metropolis as metropolis,
                    simulated_annealing as simulated_annealing)
