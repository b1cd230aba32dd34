"""Which parts of a sample a transform is for, and how transforms of single images become transforms of samples."""
from __future__ import annotations

import copy
import enum

import rushlight as torch
from rushlight.nn import Module
from rushlight.utils._pytree import tree_flatten, tree_unflatten
from rushlight.vision.pillow import is_image
from rushlight.vision.transforms import functional as F
from rushlight.vision.transforms.interpolation import InterpolationMode
from rushlight.vision.tv_tensors import Image, Mask, TVTensor, Video, wrap

SHOWN = bool, int, float, str, tuple, list, enum.Enum


def is_pure_tensor(x) -> bool:
    """A tensor that does not say what it shows."""
    return isinstance(x, torch.Tensor) and not isinstance(x, TVTensor)


def fits(x, kinds) -> bool:
    """Whether x is of one of the types, or passes one of the tests."""
    return any(isinstance(x, kind) if isinstance(kind, type) else kind(x) for kind in kinds)


def has_any(flat_inputs, *kinds) -> bool:
    """Whether something in a sample is of one of the types, or passes one of the tests."""
    return any(fits(x, kinds) for x in flat_inputs)


def has_all(flat_inputs, *kinds) -> bool:
    """Whether each of the types or tests is met by something in a sample."""
    return all(has_any(flat_inputs, kind) for kind in kinds)


def query_chw(flat_inputs) -> tuple[int, int, int]:
    """Channels, height and width, which all images of a sample share; ValueError if they do not."""
    found = {tuple(F.get_dimensions(x)) for x in flat_inputs
             if is_image(x) or is_pure_tensor(x) or isinstance(x, (Image, Video))}
    return _only(found, "CxHxW dimensions")


def query_size(flat_inputs) -> tuple[int, int]:
    """Height and width, which all images and masks of a sample share; ValueError if they do not."""
    found = {tuple(x.shape[-2:]) if isinstance(x, Mask) else tuple(F.get_dimensions(x)[1:])
             for x in flat_inputs if is_image(x) or isinstance(x, torch.Tensor)}
    return _only(found, "size")


def _only(found, what):
    if not found:
        raise TypeError("No image or video was found in the sample")
    if len(found) > 1:
        raise ValueError(f"Found multiple {what} in the sample: {sorted(found)}")
    return found.pop()


class Transform(Module):
    """Base of transforms of samples: nested containers of images, masks, labels and anything else.

    Subclasses say what to draw for a sample (`make_params`) and what to do with each of its parts that are
    of `_transformed_types` (`transform`). Of tensors that do not say what they show only the first counts, as
    an image, and only where the sample has no explicit one.
    """

    _transformed_types = (torch.Tensor, is_image)

    def check_inputs(self, flat_inputs: list) -> None:
        """Raise if the transform is not for such a sample."""

    def make_params(self, flat_inputs: list) -> dict:
        """What is drawn once for a sample."""
        return {}

    def transform(self, inpt, params: dict):
        """One part of a sample, changed."""
        raise NotImplementedError(f"{type(self).__name__}.transform")

    def forward(self, *inputs):
        flat, spec = tree_flatten(inputs if len(inputs) > 1 else inputs[0])
        self.check_inputs(flat)
        chosen = self.chosen(flat)
        params = self.make_params([flat[i] for i in chosen])
        for i in chosen:
            flat[i] = self.transform(flat[i], params)
        return tree_unflatten(flat, spec)

    def chosen(self, flat: list) -> list[int]:
        """Which parts of a sample are transformed."""
        pure_ones = not has_any(flat, Image, Video, is_image)
        found = []
        for i, x in enumerate(flat):
            if fits(x, self._transformed_types) and (pure_ones or not is_pure_tensor(x)):
                pure_ones = pure_ones and not is_pure_tensor(x)
                found.append(i)
        return found

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.__dict__.items()
                         if not name.startswith("_") and name != "training" and isinstance(value, SHOWN))


class Alike:
    """Mixed into a transform of single images: all parts of a sample are changed by the same draws.

    Each part is given the random numbers that the first one was given, so the stream is that of one image.
    """

    moves = False           # whether pixels move: if not, masks pass through
    __repr__ = Module.__repr__

    def forward(self, *inputs):
        flat, spec = tree_flatten(inputs if len(inputs) > 1 else inputs[0])
        self.check_inputs(flat)
        chosen = [i for i in self.chosen(flat) if self.moves or not isinstance(flat[i], Mask)]
        start = torch.get_rng_state() if len(chosen) > 1 else None
        for k, i in enumerate(chosen):
            if k:
                torch.set_rng_state(start)
            flat[i] = seen_as(self.changed(flat[i]), flat[i])
        return tree_unflatten(flat, spec)

    def changed(self, x):
        """One part by the transform that this is mixed into; labels of pixels are not mixed."""
        if not isinstance(x, Mask):
            return super().forward(x)
        of_labels = copy.copy(self)
        if hasattr(self, "interpolation"):
            of_labels.interpolation = InterpolationMode.NEAREST
        planes = x.as_subclass(torch.Tensor).reshape(-1, *x.shape[-2:])
        made = super(Alike, of_labels).forward(planes)
        return made.reshape(*x.shape[:-2], *made.shape[-2:])


def seen_as(made, like):
    """Results in the class of what they were made of."""
    if isinstance(made, (tuple, list)):
        return type(made)(seen_as(x, like) for x in made)
    return wrap(made, like=like) if is_pure_tensor(made) else made


def of_samples(kind: type, moves: bool = False, **fields) -> type:
    """A transform of single images as one of samples."""
    about = {"__doc__": kind.__doc__, "__module__": f"{__package__}.images", "moves": moves}
    return type(kind.__name__, (Alike, kind, Transform), about | fields)
