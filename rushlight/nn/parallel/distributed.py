"""One model in several processes, each with its share of every batch."""
from __future__ import annotations

from contextlib import contextmanager

import numpy as np

from ...autograd import no_grad
from ...autograd.grad_mode import is_grad_enabled
from ...ops.create import from_numpy
from ...tensor import Tensor
from ..modules.module import Module

MEGABYTE = 1 << 20
UNFINISHED = (
    "Expected to have finished reduction in the prior iteration before starting a new one. This error indicates "
    "that your module has parameters that were not used in producing loss. You can enable unused parameter "
    "detection by passing the keyword argument `find_unused_parameters=True` to "
    "`torch.nn.parallel.DistributedDataParallel`, and by \nmaking sure all `forward` function outputs participate "
    "in calculating loss. Parameters without a gradient: ")


class DistributedDataParallel(Module):
    """A module whose gradients become, during backward, their means over all processes of a group.

    All start with the parameters and buffers of the group's first process. With shares of equal
    size and losses that are means, the gradients are those of the full batch. State dictionaries
    have the prefix `module.`. Gradients travel in buckets of about `bucket_cap_mb` megabytes (the
    first: one), each as soon as it is complete, while the backward pass goes on.

    Args:
        broadcast_buffers: before each forward pass, take over the first process' buffers.
        find_unused_parameters: parameters on which the outputs do not depend are expected to get
            no gradient in this process; one that gets none in any process keeps its `.grad`.
        static_graph: here the same as `find_unused_parameters`.

    Raises:
        ValueError: there is no process group, or a device is named.
        RuntimeError: nothing to train; the processes have different models.
    """

    def __init__(self, module: Module, device_ids=None, output_device=None, dim: int = 0,
                 broadcast_buffers: bool = True, init_sync: bool = True, process_group=None,
                 bucket_cap_mb: float | None = None, find_unused_parameters: bool = False,
                 check_reduction: bool = False, gradient_as_bucket_view: bool = False,
                 static_graph: bool = False):
        super().__init__()
        from ...distributed.groups import current
        self.process_group = current(process_group)
        named = [(n, p) for n, p in module.named_parameters() if n not in ignored(module)]
        check(named, device_ids, output_device)
        self.module, self.dim, self.device_ids, self.output_device = module, dim, None, None
        self.broadcast_buffers, self.find_unused_parameters = broadcast_buffers, find_unused_parameters or static_graph
        self.gradient_as_bucket_view, self.static_graph = gradient_as_bucket_view, static_graph
        self.require_backward_grad_sync, self.joining = True, None
        if init_sync:
            self.check_models(named)
            self.take_over([p for _, p in named] + self.shared_buffers())
        trained = [(n, p) for n, p in named if p.requires_grad]
        self.reducer = Reducer(trained, self.process_group, (25 if bucket_cap_mb is None else bucket_cap_mb) * MEGABYTE,
                               self.find_unused_parameters)
        self.reducer.writes_when_through = gradient_as_bucket_view

    def check_models(self, named):
        from ...distributed import all_gather_object
        mine = [(tuple(p.shape), str(p.dtype)) for _, p in named]
        all_of = [None] * self.process_group.size()
        all_gather_object(all_of, mine, self.process_group)
        for rank, theirs in enumerate(all_of):
            if len(theirs) != len(all_of[0]):
                raise RuntimeError(f"DDP expects same model across all ranks, but Rank 0 has {len(all_of[0])} params, "
                                   f"while rank {rank} has inconsistent {len(theirs)} params.")
            for i, (a, b) in enumerate(zip(all_of[0], theirs)):
                if a != b:
                    raise RuntimeError(f"DDP: params[{i}] ({named[i][0]}) in this process appears not to match sizes "
                                       f"across ranks: {a} in rank 0, {b} in rank {rank}")

    def shared_buffers(self):
        skipped = ignored(self.module)
        return [b for n, b in self.module.named_buffers() if n not in skipped]

    def take_over(self, tensors, root=0):
        """Write what one of the group's processes has into all others' tensors."""
        from ...distributed import exchanges
        from ...distributed.collectives import value, write_bytes
        group, arrays = self.process_group, [value(x) for x in tensors]
        parts = [exchanges.bytes_of(a) for a in arrays]
        data = np.concatenate([np.empty(0, np.uint8), *parts])
        data = exchanges.broadcast(group.line(), root, data)
        if group.rank() != root:
            ends = np.cumsum([part.size for part in parts]).tolist()
            write_bytes(tensors, [data[end - part.size:end] for end, part in zip(ends, parts)])

    def forward(self, *inputs, **kwargs):
        root = 0 if self.joining is None else self.joining.tell_of_forward()
        buffers = self.shared_buffers() if self.broadcast_buffers else []
        if buffers and self.require_backward_grad_sync:
            self.take_over(buffers, root)
        syncs = is_grad_enabled() and self.require_backward_grad_sync
        if is_grad_enabled():
            self.reducer.expect(syncs)
        output = self.module(*inputs, **kwargs)
        if syncs and self.find_unused_parameters:
            self.reducer.excuse(output)
        return output

    @contextmanager
    def no_sync(self):
        """Within it gradients stay this process' own and add up; the next backward outside averages them."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def join(self, divide_by_initial_world_size: bool = True, enable: bool = True,
             throw_on_early_termination: bool = False):
        """Within it the processes may have different numbers of batches.

        Those that are through take part in the others' collectives with zeros; in the end all have
        the parameters of the last. Gradients are divided by the number of all processes, or of those
        that still have batches.
        """
        from ...distributed.algorithms.join import Join
        return Join([self], enable, throw_on_early_termination,
                    divide_by_initial_world_size=divide_by_initial_world_size)

    def join_hook(self, divide_by_initial_world_size: bool = True, **kwargs):
        """What this process does for the others when it has no batches left."""
        from .uneven import Shadow
        return Shadow(self, divide_by_initial_world_size)

    @property
    def join_device(self):
        return next(self.module.parameters()).device

    @property
    def join_process_group(self):
        return self.process_group

    def register_comm_hook(self, state, hook) -> None:
        """Let `hook(state, bucket)` exchange the gradients of a bucket.

        Args:
            hook: takes a `torch.distributed.GradBucket`, whose `buffer()` are this process' own
                gradients, not divided, and returns a `torch.futures.Future` of what takes their place.

        Raises:
            TypeError: `hook` is not a function.
            RuntimeError: there is one already.
        """
        if not callable(hook):
            raise TypeError("Communication hook must be callable.")
        if self.reducer.hook is not None:
            raise RuntimeError("register_comm_hook or register_builtin_comm_hook can only be called once.")
        self.reducer.hook = lambda bucket: hook(state, bucket)


def ignored(module) -> set[str]:
    return set(getattr(module, "_ddp_params_and_buffers_to_ignore", ()))


def check(named, device_ids, output_device) -> None:
    if not any(p.requires_grad for _, p in named):
        raise RuntimeError("DistributedDataParallel is not needed when a module doesn't have any parameter that "
                           "requires a gradient.")
    if device_ids is not None and len(device_ids) > 1:
        raise ValueError("device_ids can only be None or contain a single element.")
    if device_ids or output_device:
        raise ValueError("DistributedDataParallel device_ids and output_device arguments only work with "
                         "single-device/multiple-device GPU modules or CPU modules, but got device_ids "
                         f"{device_ids}, output_device {output_device}, and module parameters "
                         f"{ {p.device for _, p in named} }.")


class Bucket:
    """Parameters of one dtype whose gradients travel together."""

    def __init__(self):
        self.parameters, self.bytes, self.waits_for, self.work = [], 0, set(), None


class Reducer:
    """Averages gradients as they come.

    All processes must send the buckets in one order, so a bucket that is complete waits for those
    before it.
    """

    def __init__(self, named, group, cap: float, may_be_unused: bool):
        self.names, self.group, self.may_be_unused = {id(p): n for n, p in named}, group, may_be_unused
        self.buckets = make_buckets([p for _, p in named], cap)
        self.home = {id(p): b for b in self.buckets for p in b.parameters}
        self.is_on, self.unused, self.hook = True, set(), None
        self.is_through, self.divisor, self.writes_when_through = False, group.size(), False
        self.reset()
        for _, p in named:
            p.register_post_accumulate_grad_hook(self.arrive)

    def reset(self):
        self.sent = 0
        for bucket in self.buckets:
            bucket.waits_for, bucket.work = {id(p) for p in bucket.parameters}, None

    def expect(self, is_on: bool) -> None:
        """A forward pass starts; whether its gradients are to be averaged.

        Raises:
            RuntimeError: the last backward pass has left parameters without a gradient.
        """
        waiting = [i for b in self.buckets for i in b.waits_for if i not in self.unused]
        if self.is_on and 0 < len(waiting) < len(self.home) - len(self.unused):
            self.reset()
            raise RuntimeError(UNFINISHED + ", ".join(sorted(self.names[i] for i in waiting)))
        self.is_on, self.unused = is_on, set()

    def excuse(self, output) -> None:
        """Do not wait for parameters on which the output does not depend."""
        self.unused = set(self.home) - leaves_below(output)

    def arrive(self, parameter) -> None:
        """A gradient is there."""
        if not self.is_on:
            return
        for i in self.unused:
            self.home[i].waits_for.discard(i)
        self.home[id(parameter)].waits_for.discard(id(parameter))
        while self.sent < len(self.buckets) and not self.buckets[self.sent].waits_for:
            self.send(self.buckets[self.sent])
            self.sent += 1
        if self.sent == len(self.buckets):
            self.finish()

    def send(self, bucket) -> None:
        from ...distributed import exchanges
        from ...distributed.work import Work
        flat = self.flat(bucket)
        marks = self.used(bucket) if self.may_be_unused else None
        if self.hook is not None:
            bucket.work = self.hooked(bucket, flat, marks)
            return
        line, flat = self.group.line(), (flat / flat.dtype.type(self.divisor)).astype(flat.dtype, copy=False)

        def job():
            total = exchanges.all_reduce(line, flat, np.add)
            return total, marks if marks is None else exchanges.all_reduce(line, marks, np.maximum)
        bucket.work = Work(job, lambda result: self.write(bucket, *result))

    def hooked(self, bucket, flat, marks):
        """The future of a bucket that the user's hook exchanges."""
        from ...distributed import exchanges
        from ...distributed.collectives import value
        from ...distributed.grad_bucket import GradBucket
        if marks is not None:
            marks = exchanges.all_reduce(self.group.line(), marks, np.maximum)
        shown = GradBucket(from_numpy(flat), bucket.parameters, self.buckets.index(bucket),
                           bucket is self.buckets[-1])

        def put(future):
            found = future.value()
            found = found[0] if isinstance(found, (list, tuple)) else found
            self.write(bucket, value(found).reshape(-1), marks)
        return self.hook(shown).then(put)

    def flat(self, bucket) -> np.ndarray:
        """This process' gradients: zeros for parameters without one, and when its batches are over."""
        from ...distributed.collectives import value
        with no_grad():
            parts = [value(p if p.grad is None else p.grad).reshape(-1) for p in bucket.parameters]
        for p, part in zip(bucket.parameters, parts):
            if p.grad is None or self.is_through:
                part[:] = 0
        return np.concatenate(parts)

    def used(self, bucket) -> np.ndarray:
        return np.array([not self.is_through and id(p) not in self.unused for p in bucket.parameters], np.uint8)

    def write(self, bucket, total, marks) -> None:
        from ...distributed.collectives import write
        if self.is_through and not self.writes_when_through:
            return
        at = 0
        for i, p in enumerate(bucket.parameters):
            part, at = total[at:at + p.numel()], at + p.numel()
            if marks is not None and not marks[i]:
                continue
            if p.grad is None:
                p.grad = from_numpy(part.reshape(tuple(p.shape)).copy())
            else:
                write(p.grad, part)

    def shadow(self) -> None:
        """Take part in one backward pass of the others."""
        for bucket in self.buckets:
            self.send(bucket)
        self.finish()

    def finish(self) -> None:
        """The last bucket is on its way: wait for all, and be ready for the next pass."""
        try:
            for bucket in self.buckets:
                bucket.work.wait()
        finally:
            self.reset()


def make_buckets(parameters, cap: float) -> list[Bucket]:
    """The last parameters first, since their gradients come first; all of a bucket have one dtype."""
    buckets, room = [], min(MEGABYTE, cap)
    for p in reversed(parameters):
        if not buckets or buckets[-1].bytes >= room or buckets[-1].parameters[0].dtype != p.dtype:
            room = min(MEGABYTE, cap) if not buckets else cap
            buckets.append(Bucket())
        buckets[-1].parameters.append(p)
        buckets[-1].bytes += p.numel() * p.element_size()
    return buckets


def leaves_below(output) -> set[int]:
    """The ids of the leaves on which tensors in a structure depend."""
    found, seen, nodes = set(), {}, []
    for x in tensors_in(output):
        if x.requires_grad and x.grad_fn is None:
            found.add(id(x))
        nodes.append(x.grad_fn)
    while nodes:
        node = nodes.pop()
        if node is None or id(node) in seen:
            continue
        seen[id(node)] = node       # held, so that no other node gets its id
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        nodes += [below for below, _ in node.next_functions]
    return found


def tensors_in(x):
    if isinstance(x, Tensor):
        yield x
    elif isinstance(x, dict):
        for item in x.values():
            yield from tensors_in(item)
    elif isinstance(x, (list, tuple)):
        for item in x:
            yield from tensors_in(item)
