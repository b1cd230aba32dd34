"""What can be chosen for sharded models."""
from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

__all__ = ["BackwardPrefetch", "CPUOffload", "FullOptimStateDictConfig", "FullStateDictConfig", "MixedPrecision",
           "OptimStateDictConfig", "ShardedOptimStateDictConfig", "ShardedStateDictConfig", "ShardingStrategy",
           "StateDictConfig", "StateDictType"]


class ShardingStrategy(Enum):
    """FULL_SHARD gathers for each pass, SHARD_GRAD_OP once for both, NO_SHARD never; HYBRID_ within a machine."""

    FULL_SHARD = auto()
    SHARD_GRAD_OP = auto()
    NO_SHARD = auto()
    HYBRID_SHARD = auto()
    _HYBRID_SHARD_ZERO2 = auto()


class BackwardPrefetch(Enum):
    """Accepted: parameters are gathered when they are needed."""

    BACKWARD_PRE = auto()
    BACKWARD_POST = auto()


class StateDictType(Enum):
    """Whole tensors, or rows of each."""

    FULL_STATE_DICT = auto()
    LOCAL_STATE_DICT = auto()
    SHARDED_STATE_DICT = auto()


@dataclass
class MixedPrecision:
    """In which dtype to compute, to average gradients, and to keep buffers; None: as they are."""

    param_dtype: object = None
    reduce_dtype: object = None
    buffer_dtype: object = None
    keep_low_precision_grads: bool = False
    cast_forward_inputs: bool = False
    cast_root_forward_inputs: bool = True
    _module_classes_to_ignore: tuple = ()


@dataclass
class CPUOffload:
    """Accepted: all is on the CPU."""

    offload_params: bool = False


@dataclass
class StateDictConfig:
    """`offload_to_cpu` is accepted."""

    offload_to_cpu: bool = False


@dataclass
class FullStateDictConfig(StateDictConfig):
    """`rank0_only`: an empty dictionary elsewhere."""

    rank0_only: bool = False


@dataclass
class ShardedStateDictConfig(StateDictConfig):
    """Rows of each tensor."""


@dataclass
class OptimStateDictConfig:
    """`offload_to_cpu` is accepted."""

    offload_to_cpu: bool = True


@dataclass
class FullOptimStateDictConfig(OptimStateDictConfig):
    """`rank0_only`: an empty dictionary elsewhere."""

    rank0_only: bool = False


@dataclass
class ShardedOptimStateDictConfig(OptimStateDictConfig):
    """Here the same as FullOptimStateDictConfig."""
