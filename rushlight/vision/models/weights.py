"""Weights that torchvision's authors have published, by name: where they are and what images they want."""
from __future__ import annotations

import enum
import functools
import warnings
from dataclasses import dataclass, field
from importlib.resources import files

from rushlight.vision.transforms.interpolation import InterpolationMode

PLACE = "https://download.pytorch.org/models/"
RARE = ("SWAG", "FEATURES")         # in the names of members that are nobody's default


@dataclass
class Weights:
    """A file of weights, the transform that images need, and facts about both."""
    url: str
    transforms: object
    meta: dict = field(default_factory=dict)


class WeightsEnum(enum.Enum):
    """The weights of one model: its members, and DEFAULT for the best of them."""

    @classmethod
    def verify(cls, obj):
        """A member, from itself, from a name ("DEFAULT", "X_Weights.DEFAULT") or None.

        Raises:
            TypeError: it is a member of another model's.
        """
        if isinstance(obj, str):
            return cls[obj.replace(cls.__name__ + ".", "")]
        if obj is not None and not isinstance(obj, cls):
            raise TypeError(f"Invalid Weight class provided; expected {cls.__name__} but received "
                            f"{type(obj).__name__}.")
        return obj

    def get_state_dict(self, *args, **kwargs) -> dict:
        """The tensors by name; downloaded when first asked for (see `hub.load_state_dict_from_url`)."""
        from rushlight.hub import load_state_dict_from_url
        return load_state_dict_from_url(self.url, *args, **kwargs)

    def classes(self, wanted: int | None = None) -> int:
        """How many classes a model with these weights tells apart.

        Raises:
            ValueError: another number was asked for.
        """
        count = len(self.meta["categories"])
        if wanted not in (None, count):
            raise ValueError(f"The parameter 'num_classes' expected value {count} but got {wanted} instead.")
        return count

    @property
    def url(self) -> str:
        return self.value.url

    @property
    def transforms(self):
        return self.value.transforms

    @property
    def meta(self) -> dict:
        return self.value.meta

    def __repr__(self):
        return f"{type(self).__name__}.{self.name}"

    __str__ = __repr__
    __hash__ = enum.Enum.__hash__


def lines(name: str) -> list[str]:
    text = files(__package__).joinpath("data", name + ".txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if not line.startswith("#")]


@functools.cache
def categories(name: str) -> list[str]:
    """The names of a data set's classes, in order."""
    return lines(name)


def published(file: str, member: str, builder: str, *sizes: str) -> Weights:
    """From a line of the table."""
    if member.startswith("IMAGENET"):
        return Weights(PLACE + file, classification(*sizes), {"categories": categories("imagenet")})
    from rushlight.vision.transforms.presets import ObjectDetection, SemanticSegmentation
    if "VOC" in member:
        return Weights(PLACE + file, functools.partial(SemanticSegmentation, resize_size=520),
                       {"categories": categories("voc")})
    names = ["no person", "person"] if builder.startswith("keypoint") else categories("coco")
    return Weights(PLACE + file, ObjectDetection, {"categories": names})


def classification(crop, resize, interpolation="bilinear", mean=None, std=None):
    from rushlight.vision.transforms.presets import ImageClassification
    options = {"crop_size": int(crop), "resize_size": int(resize),
               "interpolation": InterpolationMode(interpolation)}
    for name, numbers in (("mean", mean), ("std", std)):
        if numbers is not None:
            options[name] = tuple(map(float, numbers.split(",")))
    return functools.partial(ImageClassification, **options)


@functools.cache
def table() -> dict[str, type[WeightsEnum]]:
    """The enumeration of each builder that has weights."""
    members, names = {}, {}
    for line in lines("weights"):
        builder, names[builder], member, file, *sizes = line.split()
        members.setdefault(builder, {})[member] = published(file, member, builder, *sizes)
    return {builder: enumeration(names[builder], found) for builder, found in members.items()}


def enumeration(name: str, members: dict) -> type[WeightsEnum]:
    usual = [member for member in members if not any(word in member for word in RARE)]
    default = usual[-1] if usual else next(iter(members))
    return WeightsEnum(name, {**members, "DEFAULT": members[default]}, module=__name__)


def weights_for(builder: str, weights, options: dict) -> WeightsEnum | None:
    """What a call of a builder asks for by `weights`, or by the old option `pretrained`.

    Raises:
        ValueError: none were published. TypeError, KeyError: these are not the model's.
    """
    if "pretrained" in options:
        warnings.warn("The parameter 'pretrained' is deprecated since 0.13 and may be removed in the future, "
                      "please use 'weights' instead.", stacklevel=3)
        weights = options.pop("pretrained") or None
    if weights is None or weights is False:
        return None
    if builder not in table():
        raise ValueError(f"No weights available for model {builder}")
    return table()[builder].verify("DEFAULT" if weights is True else weights)


def get_weight(name: str) -> WeightsEnum:
    """The member of that whole name, "ResNet50_Weights.DEFAULT".

    Raises:
        ValueError: there is none.
    """
    owner, _, member = name.partition(".")
    if not member:
        raise ValueError(f"Invalid weight name provided: '{name}'.")
    found = next((kind for kind in table().values() if kind.__name__ == owner), None)
    if found is None:
        raise ValueError(f"The weight enum '{owner}' for the specific method couldn't be retrieved.")
    return found[member]


def get_model_weights(name) -> type[WeightsEnum]:
    """The enumeration of a model, from its builder or its name."""
    builder = name if isinstance(name, str) else name.__name__
    if builder.lower() not in table():
        raise ValueError(f"Unknown model {builder}")
    return table()[builder.lower()]
