"""The builders of models by name, and how trained weights get into what they build."""
from __future__ import annotations

import functools

from rushlight.vision.models.weights import table, weights_for

BUILDERS: dict = {}


def builder(function=None, *, name=None, doc=None, filled=None):
    """Register a function that makes a model from options; it takes `weights` and `progress`, too.

    One that is made for each of several models is given a name and a docstring.
    filled(function, options, state, weights) makes a model with published tensors, where that is
    more than `fill` does.
    """
    if function is None:
        return functools.partial(builder, name=name, doc=doc, filled=filled)
    if name is not None:
        function.__name__ = function.__qualname__ = name
        function.__doc__ = doc

    @functools.wraps(function)
    def build(*, weights=None, progress: bool = True, **options):
        chosen = weights_for(function.__name__, weights, options)
        if chosen is None:
            return function(**options)
        options["num_classes"] = chosen.classes(options.get("num_classes"))
        state = chosen.get_state_dict(progress=progress, check_hash=True)
        return (filled or fill)(function, options, state, chosen)
    BUILDERS[function.__name__] = build
    return build


def fill(function, options, state, chosen):
    model = function(**options)
    model.load_state_dict(state)
    return model


def exported(package: str) -> dict:
    """The builders in a package's modules, and the enumerations of their weights, by name."""
    here = {name: build for name, build in BUILDERS.items() if build.__module__.rpartition(".")[0] == package}
    return here | {table()[name].__name__: table()[name] for name in here if name in table()}


def get_model(name: str, **config):
    """The model of this name.

    Raises:
        ValueError: there is none.
    """
    return get_model_builder(name)(**config)


def get_model_builder(name: str):
    """The function that makes the model of this name."""
    if name.lower() not in BUILDERS:
        raise ValueError(f"Unknown model {name.lower()}")
    return BUILDERS[name.lower()]


def list_models() -> list[str]:
    """The names of all models."""
    return sorted(BUILDERS)
