"""What a step costs: nanoseconds of one core for an element (docs/accuracy.md measures the functions)."""
from __future__ import annotations

CHEAP = 0.05
COSTS = {"exp": 0.2, "log": 0.4, "tanh": 0.4, "sin": 0.5, "cos": 0.5, "erf": 0.5, "div": 0.15, "sqrt": 0.15, "rsqrt": 0.2,
         "exp2": 0.2, "expm1": 0.3, "log1p": 0.4, "pow": 2.0}
RARE = 2.0              # any other function
SIMPLE = {"neg", "abs", "sign", "cast", "copy", "floor", "ceil", "trunc", "round", "isnan", "signbit", "bitwise_not", "full",
          "reciprocal"}


def price(v) -> float:
    name = v.prim.name
    if name in COSTS:
        return COSTS[name]
    return CHEAP if len(v.sig.layouts) > 1 or name in SIMPLE else RARE
