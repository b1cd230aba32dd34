"""Loss scaling: gradients of 16-bit numbers kept from vanishing."""
from __future__ import annotations

import enum
import warnings
from collections.abc import Iterable

from .. import dtypes, ops
from ..autograd.grad_mode import no_grad
from ..tensor import Tensor

__all__ = ["GradScaler", "OptState"]


class OptState(enum.Enum):
    """How far an optimiser is between two updates of the scale."""
    READY = 0
    UNSCALED = 1
    STEPPED = 2


class GradScaler:
    """Multiplies the loss by a scale, divides the gradients by it again, skips steps whose gradients are
    not finite, and looks for the largest scale at which they are.

        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    Args:
        device: "cpu"; for "cuda", of which there is none, the scaler is disabled with a warning.
        init_scale: the first scale.
        growth_factor: the scale grows by it after `growth_interval` steps with finite gradients.
        backoff_factor: the scale shrinks by it after a step with gradients that are not.
        enabled: False makes all methods pass things on unchanged.
    """

    def __init__(self, device: str = "cuda", init_scale: float = 2.0**16,
                 growth_factor: float = 2.0, backoff_factor: float = 0.5,
                 growth_interval: int = 2000, enabled: bool = True) -> None:
        self._device = device
        self._enabled = enabled and device != "cuda"
        if enabled and device == "cuda":
            warnings.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  "
                          "Disabling.", stacklevel=2)
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._init_scale, self._init_growth_tracker = init_scale, 0
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._scale: Tensor | None = None
        self._growth_tracker: Tensor | None = None
        self._stages: dict = {}         # id of an optimiser -> (stage, whether something overflowed)

    # -- scaling --------------------------------------------------------------------------------
    def scale(self, outputs):
        """A tensor, or an iterable of tensors, times the scale.

        Raises:
            ValueError: there is something else in it.
        """
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._present()
        if isinstance(outputs, Iterable):
            parts = map(self.scale, outputs)
            return type(outputs)(parts) if isinstance(outputs, (list, tuple)) else parts
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def _present(self) -> Tensor:
        """The scale, made at its first use."""
        if self._scale is None:
            self._scale = ops.full((), self._init_scale, dtype=dtypes.float32)
            self._growth_tracker = ops.full((), self._init_growth_tracker, dtype=dtypes.int32)
        return self._scale

    def _check_present(self, asker) -> None:
        if self._scale is None:
            raise AssertionError(f"Attempted {asker} but _scale is None.  This may indicate your "
                                 "script did not use scaler.scale(loss or outputs) earlier in the "
                                 "iteration.")

    def _stage(self, optimizer):
        return self._stages.get(id(optimizer), (OptState.READY, None))

    def unscale_(self, optimizer) -> None:
        """Divide the gradients of an optimiser's parameters by the scale, for clipping before `step`.

        Raises:
            RuntimeError: it was called before since the last `update`, or after `step`.
            ValueError: a gradient is float16.
        """
        if not self._enabled:
            return
        self._check_present("unscale_")
        stage, _ = self._stage(optimizer)
        if stage is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the "
                               "last update().")
        if stage is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        self._stages[id(optimizer)] = (OptState.UNSCALED, self._unscaled(optimizer))

    def _unscaled(self, optimizer) -> Tensor:
        """Whether a gradient was not finite, a float32 flag, after all were divided."""
        factor = self._scale.double().reciprocal().float()
        found = ops.zeros((), dtype=dtypes.float32)
        with no_grad():
            for group in optimizer.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    if p.grad.dtype is dtypes.float16:
                        raise ValueError("Attempting to unscale FP16 gradients.")
                    found = ops.maximum(found, p.grad.isfinite().logical_not().any().float())
                    p.grad.mul_(factor)
        return found

    def step(self, optimizer, *args, **kwargs):
        """`optimizer.step(*args, **kwargs)` unless a gradient is not finite; gives what that gives.

        Raises:
            RuntimeError: it was called before since the last `update`, or with a closure.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._check_present("step")
        if self._stage(optimizer)[0] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if self._stage(optimizer)[0] is OptState.READY:
            self.unscale_(optimizer)
        found = self._stage(optimizer)[1]
        result = None if found.item() else optimizer.step(*args, **kwargs)
        self._stages[id(optimizer)] = (OptState.STEPPED, found)
        return result

    def update(self, new_scale=None) -> None:
        """Change the scale after the steps of an iteration; `new_scale` (float or Tensor) sets it."""
        if not self._enabled:
            return
        self._check_present("update")
        if new_scale is not None:
            self._set_scale(new_scale)
        else:
            self._adapt([found for _, found in self._stages.values() if found is not None])
        self._stages.clear()

    def _set_scale(self, new):
        if isinstance(new, Tensor):
            if new.numel() != 1 or new.requires_grad or new.dtype is not dtypes.float32:
                raise AssertionError("new_scale should be a float or a 1-element "
                                     "torch.cuda.FloatTensor or torch.FloatTensor with "
                                     "requires_grad=False.")
            self._scale.copy_(new.reshape(()))
        else:
            self._scale.fill_(float(new))

    def _adapt(self, found):
        """Back off after an overflow; grow after enough steps without one, if the scale stays finite."""
        if not found:
            raise AssertionError("No inf checks were recorded prior to update.")
        if any(flag.item() for flag in found):
            self._scale.mul_(self._backoff_factor)
            self._growth_tracker.fill_(0)
            return
        steps = self._get_growth_tracker() + 1
        if steps == self._growth_interval:
            grown = self._scale * self._growth_factor
            if grown.isfinite().item():
                self._scale.copy_(grown)
            steps = 0
        self._growth_tracker.fill_(steps)

    # -- looking --------------------------------------------------------------------------------
    def get_scale(self) -> float:
        """The scale as a number; 1.0 if disabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale.item()

    def get_growth_factor(self) -> float:
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        self._growth_interval = new_interval

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        tracker = self._growth_tracker
        return self._init_growth_tracker if tracker is None else int(tracker.item())

    def is_enabled(self) -> bool:
        """Whether the scaler does anything."""
        return self._enabled

    # -- saving ---------------------------------------------------------------------------------
    def state_dict(self) -> dict:
        """{"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}; {} if
        disabled."""
        if not self._enabled:
            return {}
        return {"scale": self.get_scale(), "growth_factor": self._growth_factor,
                "backoff_factor": self._backoff_factor, "growth_interval": self._growth_interval,
                "_growth_tracker": self._get_growth_tracker()}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take back what `state_dict` gave.

        Raises:
            RuntimeError: it is empty, from a disabled scaler.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("The source state dict is empty, possibly because it was saved from "
                               "a disabled instance of GradScaler.")
        self._init_scale = state_dict["scale"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._init_growth_tracker = state_dict["_growth_tracker"]
        if self._scale is not None:
            self._scale.fill_(self._init_scale)
            self._growth_tracker.fill_(self._init_growth_tracker)

    def __getstate__(self):
        state = dict(self.__dict__)
        if self._enabled:
            if self._stages:
                raise AssertionError("A GradScaler instance may only be pickled at the beginning of "
                                     "an iteration, or at the end after scaler.update().")
            state |= {"_init_scale": self.get_scale(), "_scale": None, "_growth_tracker": None,
                      "_init_growth_tracker": self._get_growth_tracker()}
        return state
