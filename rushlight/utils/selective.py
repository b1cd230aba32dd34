"""Selective activation checkpointing: which operations' results are kept, and which are computed again.

Each operation that is taped while a checkpointed function runs is shown to a policy. What is to be kept is
held as a value; when the function runs again, the results of these operations are replaced by the values, so that
nobody needs what was recorded to compute them. Values never change, so a result that was overwritten in
between is no danger.
"""
from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import Any

from .._ops import OpOverload, OpOverloadPacket, namespaces
from ..autograd.node import BACKWARD, WATCHERS
from ..trace.record import alias

_MISMATCH = ("The function did not do the same in both passes: make sure that it depends on nothing but its arguments, "
             "and that the policy is a function of the operation alone.")
# Names of tape entries that are not those of PyTorch's operations.
RENAMED = {"softmax": "_softmax", "log_softmax": "_log_softmax", "nll_loss": "nll_loss_forward", "unsafe_view": "_unsafe_view"}
RECOMPUTED, CONSUMED = object(), object()


class CheckpointPolicy(enum.Enum):
    """What becomes of an operation's result: SAVE keeps it, RECOMPUTE does not; MUST and PREFER, and CPU_OFFLOAD and
    SAVE, mean the same here."""
    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4
    PREFER_CPU_OFFLOAD = 5


RECOMPUTING = (CheckpointPolicy.MUST_RECOMPUTE, CheckpointPolicy.PREFER_RECOMPUTE)


class SelectiveCheckpointContext:
    """What a policy is told beside the operation: its result. `is_recompute` is always False."""

    def __init__(self, *, is_recompute: bool, op_output: Any = None) -> None:
        self.is_recompute, self.op_output = is_recompute, op_output


def create_selective_checkpoint_contexts(policy_fn_or_list: Callable | list, allow_cache_entry_mutation: bool = False):
    """Contexts for `checkpoint(..., use_reentrant=False, context_fn=...)` that keep some operations' results.

    Args:
        policy_fn_or_list: a function of (SelectiveCheckpointContext, operation, *its tensors) that returns a
            CheckpointPolicy, or a bool for SAVE; or the operations to keep, such as [torch.ops.aten.mm.default]. It is
            asked about the operations that are on the tape, views left out.
        allow_cache_entry_mutation: accepted; overwriting a result never changes what was kept of it.

    Raises:
        TypeError: neither a function nor a list.
        ValueError: something in the list is no operation.
    """
    if isinstance(policy_fn_or_list, list):
        policy = _keeping(policy_fn_or_list)
    elif callable(policy_fn_or_list):
        policy = policy_fn_or_list
    else:
        raise TypeError("policy_fn_or_list must be either a function or a list of ops.")
    results: list = []
    return _Keeping(policy, results), _Replacing(results)


def _keeping(operations: list) -> Callable:
    for op in operations:
        if not isinstance(op, OpOverload):
            more = (f" Please update the OpOverloadPacket to a specific OpOverload. For example, if you have `torch.ops.{op}`, "
                    f"change it to `torch.ops.{op}.default`." if isinstance(op, OpOverloadPacket) else "")
            raise ValueError(f"Expected op in `op_list` to be an OpOverload but got: {op} of type {type(op)}.{more}")
    packets = {op.overloadpacket for op in operations}
    return lambda context, op, *args: op.overloadpacket in packets


def operation_of(entry: str) -> OpOverload:
    """The operation of a tape entry: aten.max_pool2d_with_indices.default of MaxPool2DWithIndicesBackward0."""
    words = re.sub(r"(\d)([A-Z])(?![a-z])", lambda m: m[1] + m[2].lower(), BACKWARD.sub("", entry))
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words).lower()
    name = RENAMED.get(name, name)
    packet = getattr(namespaces["aten"], name, None) or OpOverloadPacket("aten", name, None)
    return getattr(packet, packet.overloads()[0])


class _Watching:
    """A context in which `met` sees each result that is put on the tape."""

    def __enter__(self):
        WATCHERS.append(self.met)

    def __exit__(self, *exc):
        WATCHERS.remove(self.met)


class _Keeping(_Watching):
    """The first run: `results` gets, for each operation, its kind and what is kept.

    A composition gives its last entry its own name afterwards, so a policy is asked when the next one comes.
    """

    def __init__(self, policy: Callable, results: list):
        self.policy, self.results, self.latest = policy, results, None

    def __exit__(self, *exc):
        super().__exit__(*exc)
        self.decide()

    def met(self, out, kind, inputs):
        self.decide()
        if out.storage.base is out.storage:
            self.latest = out, alias(out.storage), kind, inputs

    def decide(self):
        if self.latest is None:
            return
        (out, value, kind, inputs), self.latest = self.latest, None
        if (fn := out._grad_fn) is not None:
            context = SelectiveCheckpointContext(is_recompute=False, op_output=out.detach())
            choice = self.policy(context, operation_of(fn.name()), *inputs)
            kept = choice if isinstance(choice, bool) else choice not in RECOMPUTING
        self.results.append((kind, (value, out.layout, out.offset) if fn is not None and kept else RECOMPUTED))


class _Replacing(_Watching):
    """A second run: results that were kept take the place of those recorded anew."""

    def __init__(self, results: list):
        self.results, self.at = results, 0

    def __enter__(self):
        self.at = 0
        super().__enter__()

    def met(self, out, kind, inputs):
        if out.storage.base is not out.storage:
            return
        at, self.at = self.at, self.at + 1
        before, found = self.results[at] if at < len(self.results) else (None, None)
        if before is not kind:
            raise RuntimeError(f"{operation_of(kind.__name__)} encountered during backward but not found in storage. {_MISMATCH}")
        if found is CONSUMED:
            raise RuntimeError("Trying to backward an extra time. You are only allowed to backward once on any region "
                               "computed under selective activation checkpoint.")
        if found is not RECOMPUTED:
            self.results[at] = kind, CONSUMED
            replace(out, *found)


def replace(out, value, layout, offset) -> None:
    """The value kept becomes that of `out`, which nobody has read."""
    if (out.layout, out.offset) != (layout, offset):
        raise RuntimeError(f"a result lies otherwise in memory than it did in the forward pass. {_MISMATCH}")
    out.storage.node = value.node
    value.node.add_owner(out.storage)
