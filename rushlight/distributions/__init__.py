"""torch.distributions: probability distributions, their samples, densities and divergences."""
from . import constraints as constraints, transforms as transforms, utils as utils
from .constraint_registry import biject_to as biject_to, transform_to as transform_to
from .continuous import Cauchy, Exponential, Laplace, Normal, Uniform
from .discrete import (Bernoulli, Binomial, Categorical, Geometric, Multinomial, NegativeBinomial,
                       OneHotCategorical, OneHotCategoricalStraightThrough, Poisson)
from .distribution import Distribution, ExponentialFamily
from .gamma import Beta, Chi2, Dirichlet, FisherSnedecor, Gamma, StudentT
from .independent import Independent
from .kl import kl_divergence, register_kl
from .mixture import MixtureSameFamily
from .multivariate import MultivariateNormal
from .relaxed import (ExpRelaxedCategorical, LogitRelaxedBernoulli, RelaxedBernoulli,
                      RelaxedOneHotCategorical)
from .transformed import (Gumbel, HalfCauchy, HalfNormal, InverseGamma, LogNormal, Pareto,
                          TransformedDistribution, Weibull)
from .bounded import ContinuousBernoulli, GeneralizedPareto, Kumaraswamy, VonMises
from .matrices import LKJCholesky, LogisticNormal, LowRankMultivariateNormal, Wishart
from .transforms import *
from . import divergences as _divergences

# PyTorch's modules, for imports such as `from torch.distributions.normal import Normal`.
ROOMS = {"bounded": "continuous_bernoulli generalized_pareto kumaraswamy von_mises",
         "matrices": "lkj_cholesky logistic_normal lowrank_multivariate_normal wishart",
         "continuous": "cauchy exponential laplace normal uniform",
         "discrete": "bernoulli binomial categorical geometric multinomial negative_binomial "
                     "one_hot_categorical poisson",
         "gamma": "beta chi2 dirichlet fishersnedecor studentT",
         "distribution": "exp_family", "mixture": "mixture_same_family",
         "multivariate": "multivariate_normal", "relaxed": "relaxed_bernoulli relaxed_categorical",
         "transformed": "transformed_distribution gumbel half_cauchy half_normal inverse_gamma "
                        "log_normal pareto weibull"}

__all__ = """
    Bernoulli Beta Binomial Categorical Cauchy Chi2 Dirichlet Distribution ExponentialFamily
    ExpRelaxedCategorical Exponential FisherSnedecor Gamma Geometric Gumbel HalfCauchy HalfNormal
    Independent InverseGamma Laplace LogNormal LogitRelaxedBernoulli MixtureSameFamily Multinomial
    MultivariateNormal NegativeBinomial Normal OneHotCategorical OneHotCategoricalStraightThrough
    Pareto Poisson RelaxedBernoulli RelaxedOneHotCategorical StudentT TransformedDistribution
    Uniform Weibull kl_divergence register_kl biject_to transform_to
    ContinuousBernoulli GeneralizedPareto Kumaraswamy LKJCholesky LogisticNormal LowRankMultivariateNormal VonMises
    Wishart
""".split() + transforms.__all__


def _share_rooms():
    import sys
    for room, names in ROOMS.items():
        for name in names.split():
            sys.modules[f"{__name__}.{name}"] = globals()[name] = sys.modules[f"{__name__}.{room}"]


_share_rooms()
