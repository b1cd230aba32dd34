"""DPOptimizer: clips the gradient of each sample, adds noise to their sum, then steps."""
from __future__ import annotations

from collections.abc import Callable

from ...autograd.grad_mode import enable_grad, no_grad
from ...autograd.recall import repeated
from ...optim import Optimizer
from ...tensor import Tensor
from .. import noise
from ..grad_sample.clipping import CLEAR, Batches, clip_factors, norms_of, one_line, weighted_sums
from ..grad_sample.uses import uses_of


@repeated
def divided(tensors, numbers):
    """Each by the number."""
    return [x / numbers[0] for x in tensors]


class DPOptimizer(Optimizer):
    """An optimiser round an optimiser that makes each step differentially private (DP-SGD).

    A step (Abadi et al. 2016, arXiv:1607.00133, algorithm 1): every sample's gradient g_i is scaled
    by min(1, C / |g_i|); of the sum, plus normal noise of deviation noise_multiplier C, `p.grad` is
    the mean over the expected batch size; then the optimiser inside steps.

    Args:
        optimizer: the optimiser inside; its parameters belong to a GradSampleModule.
        noise_multiplier: the noise's deviation in units of C.
        max_grad_norm: C.
        expected_batch_size: what the sum is divided by if `loss_reduction` is "mean".
        loss_reduction: "mean" or "sum".
        generator: of the noise.
        secure_mode: discrete noise on a grid from the system's random numbers (privacy/noise.py).

    Raises:
        ValueError: other reductions, "mean" without a batch size; a step without gradients of
            samples, or with those of the last step.
    """

    keeps_grad_sample = False       # whether `p.grad_sample` outlasts a step, at the price of its memory

    def __init__(self, optimizer: Optimizer, *, noise_multiplier: float, max_grad_norm: float,
                 expected_batch_size: int | None, loss_reduction: str = "mean", generator=None,
                 secure_mode: bool = False, **_):
        if loss_reduction not in ("mean", "sum"):
            raise ValueError(f"Unexpected value for loss_reduction: {loss_reduction}")
        if loss_reduction == "mean" and expected_batch_size is None:
            raise ValueError("You must provide expected batch size of the loss reduction is mean")
        self.original_optimizer = optimizer
        self.noise_multiplier, self.max_grad_norm = noise_multiplier, max_grad_norm
        self.loss_reduction, self.expected_batch_size = loss_reduction, expected_batch_size
        self.step_hook, self.generator, self.secure_mode = None, generator, secure_mode
        self._step_skip_queue: list[bool] = []
        self._is_last_step_skipped = self._has_stepped = False
        self.accumulated = 0            # batches that the last collection has summed
        for p in self.params:
            p.summed_grad = None

    def __getattr__(self, name):
        if name == "original_optimizer":
            raise AttributeError(name)
        return getattr(self.original_optimizer, name)

    @property
    def params(self) -> list:
        """The trainable parameters."""
        return [p for group in self.original_optimizer.param_groups for p in group["params"] if p.requires_grad]

    @property
    def grad_samples(self) -> list[Tensor]:
        """The gradients of all samples, (n, *shape) for each parameter."""
        return [self._get_flat_grad_sample(p) for p in self.params]

    def _get_flat_grad_sample(self, p) -> Tensor:
        from ...ops import cat
        batches = Batches([p])
        found = [g.per_sample() for batch in batches.each() for g in batch.values()]
        return found[0] if len(found) == 1 else cat(found)

    @property
    def accumulated_iterations(self) -> int:
        """How many batches were accumulated for this step."""
        waiting = max([len(uses_of(p).generations) for p in self.params if uses_of(p)], default=0)
        return max(waiting, self.accumulated, 1)

    # -- the optimiser inside --------------------------------------------------------------------
    @property
    def param_groups(self) -> list[dict]:
        return self.original_optimizer.param_groups

    @param_groups.setter
    def param_groups(self, groups):
        self.original_optimizer.param_groups = groups

    @property
    def state(self):
        return self.original_optimizer.state

    @state.setter
    def state(self, state):
        self.original_optimizer.state = state

    @property
    def defaults(self) -> dict:
        return self.original_optimizer.defaults

    @defaults.setter
    def defaults(self, defaults):
        self.original_optimizer.defaults = defaults

    def state_dict(self) -> dict:
        """That of the optimiser inside."""
        return self.original_optimizer.state_dict()

    def load_state_dict(self, state_dict: dict) -> None:
        """For the optimiser inside."""
        self.original_optimizer.load_state_dict(state_dict)

    def __repr__(self) -> str:
        return repr(self.original_optimizer)

    # -- steps ------------------------------------------------------------------------------------
    def attach_step_hook(self, fn: Callable) -> None:
        """Call fn(self) in each step, after the noise and before the optimiser inside."""
        self.step_hook = fn

    def signal_skip_step(self, do_skip: bool = True) -> None:
        """Tell whether the next call of `step` only adds to the sum (BatchMemoryManager)."""
        self._step_skip_queue.append(do_skip)

    def _check_skip_next_step(self) -> bool:
        return bool(self._step_skip_queue) and self._step_skip_queue.pop(0)

    def clip_and_accumulate(self) -> None:
        """Add the sum of the clipped gradients to `p.summed_grad`."""
        batches = Batches(self.params)
        for batch in batches.each():
            c = self.factors(norms_of(batch))
            for i, g in weighted_sums(batch, c).items():
                self.add_sum(batches.parameters[i], g)
        for p in batches.parameters:
            if p.summed_grad is None:
                self.add_sum(p, p.new_zeros(p.shape))
        self.accumulated += len(batches.found)
        if not self.keeps_grad_sample:
            batches.spend()

    def factors(self, norms: Tensor) -> Tensor:
        """What each sample's gradient is scaled by."""
        return clip_factors(norms, self.max_grad_norm)

    @staticmethod
    def add_sum(p, g: Tensor) -> None:
        g = g.detach() if g.dtype is p.dtype else g.detach().to(p.dtype)
        p.summed_grad = g if p.summed_grad is None else p.summed_grad + g

    @property
    def noise_scale(self) -> float:
        """The noise's deviation in units of `max_grad_norm`."""
        return self.noise_multiplier

    def add_noise(self) -> None:
        """p.grad = p.summed_grad + noise"""
        parameters = self.params
        sums = [p.summed_grad for p in parameters]
        if self.secure_mode:
            bound = float(self.max_grad_norm)
            noisy = [noise.secure_sum(total, self.noise_scale, bound) for total in sums]
        else:
            noisy = noise.gaussian_sums(sums, float(self.noise_scale * self.max_grad_norm), self.generator)
        for p, g in zip(parameters, noisy):
            p.grad = g

    def scale_grad(self) -> None:
        """The mean of what was a sum, if the loss is a mean."""
        if self.loss_reduction == "mean":
            count = float(self.expected_batch_size * self.accumulated_iterations)
            parameters = self.params
            for p, (g,) in zip(parameters, divided.each([((p.grad,), (count,)) for p in parameters])):
                p.grad = g

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear gradients; sums stay if the last step was one of several of a large batch."""
        self._has_stepped = False
        for p in self.params:
            p.grad_sample = None
            if not self._is_last_step_skipped:
                p.summed_grad = None
        self.original_optimizer.zero_grad(set_to_none)

    def collect(self) -> None:
        """From the gradients of samples to `p.summed_grad`."""
        self.clip_and_accumulate()

    def pre_step(self, closure: Callable | None = None) -> bool:
        """All of a step but the optimiser inside; False if that is not to step yet."""
        with no_grad(), one_line():
            if not self.params:
                return True
            if self._has_stepped:
                raise ValueError(CLEAR)
            self.accumulated = 0
            self.collect()
            if self._check_skip_next_step():
                self._is_last_step_skipped = True
                return False
            self.add_noise()
            self.scale_grad()
            self._has_stepped = True
            for p in self.params:
                p.summed_grad = None        # it is not private, and as large as the parameters
        if self.step_hook:
            self.step_hook(self)
        self._is_last_step_skipped = False
        return True

    def step(self, closure: Callable | None = None):
        """One private step; None if it only added to the sum of a large batch."""
        if closure is not None:
            with enable_grad():
                closure()
        return self.original_optimizer.step() if self.pre_step() else None
