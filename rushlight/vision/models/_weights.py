"""What all builders of models share."""
from __future__ import annotations

BUILDERS: dict = {}


def builder(function):
    """Register a function that makes a model, under its name."""
    BUILDERS[function.__name__] = function
    return function


def refuse_weights(weights, options: dict) -> None:
    """Trained weights are not distributed here.

    Raises:
        NotImplementedError: they are asked for; says how a file of them is loaded.
    """
    if weights is not None or options.pop("pretrained", False):
        raise NotImplementedError(
            "pretrained weights: rushlight downloads none; build the model without them and "
            "load a checkpoint file with model.load_state_dict(torch.load(path))")
    options.pop("progress", None)


def get_model(name: str, **config):
    """The model of this name.

    Raises:
        ValueError: there is none.
    """
    name = name.lower()
    if name not in BUILDERS:
        raise ValueError(f"Unknown model {name}")
    return BUILDERS[name](**config)


def get_model_builder(name: str):
    """The function that makes the model of this name."""
    if name.lower() not in BUILDERS:
        raise ValueError(f"Unknown model {name}")
    return BUILDERS[name.lower()]


def list_models() -> list[str]:
    """The names of all models."""
    return sorted(BUILDERS)
