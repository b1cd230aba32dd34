"""A wrapper whose module's parameters are flattened and spread over the processes."""
from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext

from ... import ops
from ...autograd import no_grad
from ...nn import Module
from ...tensor import Tensor
from .. import collectives
from ..groups import ProcessGroup, current
from ..reduce_op import ReduceOp
from ..sharded import Sharding, sharded
from .api import FullStateDictConfig, MixedPrecision, ShardingStrategy, StateDictType
from .fully_shard import cast, parameters_of
from .unit import FlatCut, Places, Unit

FLAT, INNER = "_flat_param", "_fsdp_wrapped_module"
HYBRID = (ShardingStrategy.HYBRID_SHARD, ShardingStrategy._HYBRID_SHARD_ZERO2)
KEEPS = (ShardingStrategy.SHARD_GRAD_OP, ShardingStrategy._HYBRID_SHARD_ZERO2, ShardingStrategy.NO_SHARD)


def alone(group) -> ProcessGroup:
    """This process by itself, whose part is the whole."""
    return ProcessGroup(group.mesh, [group.mesh.rank], f"{group.group_name}/alone", group.timeout)


class FullyShardedDataParallel(Module):
    """A module whose parameters are whole only while it runs; gradients are means over the processes.

    Args:
        process_group: None for the world; for HYBRID_SHARD (shards, replicas).
        auto_wrap_policy: which modules inside become units of their own; see `fsdp.wrap`.
        mixed_precision: in which dtypes to compute and to average.
        ignored_modules: their parameters stay whole, and their gradients apart.
        sync_module_states: begin with the parameters and buffers of the group's first process.
        use_orig_params: `parameters()` are this process' parts of each, with their names; otherwise one
            `_flat_param` for each unit. Parts are 1-D.
        cpu_offload, backward_prefetch, param_init_fn, device_id, forward_prefetch, limit_all_gathers: accepted.

    Raises:
        ValueError: parameters of different dtypes in one unit; HYBRID_SHARD without its groups.
    """

    def __init__(self, module: Module, process_group=None, sharding_strategy: ShardingStrategy | None = None,
                 cpu_offload=None, auto_wrap_policy=None, backward_prefetch=None,
                 mixed_precision: MixedPrecision | None = None, ignored_modules=None, param_init_fn=None,
                 device_id=None, sync_module_states: bool = False, forward_prefetch: bool = False,
                 limit_all_gathers: bool = True, use_orig_params: bool = False, ignored_states=None,
                 device_mesh=None):
        super().__init__()
        self.sharding_strategy = sharding_strategy or ShardingStrategy.FULL_SHARD
        self.process_group, replicas = self._groups(process_group, device_mesh)
        self.mixed_precision, self.use_orig_params = mixed_precision or MixedPrecision(), use_orig_params
        self._state_kind = (StateDictType.FULL_STATE_DICT, FullStateDictConfig())
        self._is_root, self._ignored = True, self._apart(ignored_modules, ignored_states)
        if sync_module_states:
            self._begin_alike(module)
        if auto_wrap_policy is not None:
            options = {"process_group": process_group, "sharding_strategy": sharding_strategy,
                       "mixed_precision": mixed_precision, "use_orig_params": use_orig_params,
                       "device_mesh": device_mesh, "ignored_states": ignored_states,
                       "ignored_modules": ignored_modules}
            _wrap_below(module, getattr(auto_wrap_policy, "policy", auto_wrap_policy), options)
        setattr(self, INNER, module)
        self._unit = self._made_unit(module, replicas)
        for m in module.modules():
            if isinstance(m, FullyShardedDataParallel):
                m._is_root = False

    def _groups(self, process_group, device_mesh):
        if device_mesh is not None:
            replicas = device_mesh.get_group(0) if device_mesh.ndim == 2 else None
            return device_mesh.get_group(device_mesh.ndim - 1), replicas
        if self.sharding_strategy in HYBRID and process_group is not None:
            return process_group
        group = current(process_group)
        return (alone(group), group) if self.sharding_strategy is ShardingStrategy.NO_SHARD else (group, None)

    @staticmethod
    def _apart(modules, states):
        found = {id(p) for m in modules or () for p in m.parameters()}
        for item in states or ():
            found |= {id(p) for p in (item.parameters() if isinstance(item, Module) else [item])}
        return found

    def _begin_alike(self, module):
        with no_grad():
            for x in (*module.parameters(), *module.buffers()):
                collectives.broadcast(x.detach(), group_src=0, group=current(None))

    def _made_unit(self, module, replicas):
        named = [row for row in parameters_of(module, FullyShardedDataParallel) if id(row[3]) not in self._ignored]
        if not named:
            return None
        places, kinds = Places(named), self.mixed_precision
        unit = Unit(places, FlatCut(places, self.process_group, self.use_orig_params), replicas,
                    self.sharding_strategy not in KEEPS, (kinds.param_dtype, kinds.reduce_dtype))
        for i, owner, name in places:
            if self.use_orig_params:
                owner._parameters[name] = unit.leaves[i]
            else:
                del owner._parameters[name]
        if not self.use_orig_params:
            module._parameters[FLAT] = unit.leaves[0]
        return unit

    @property
    def module(self) -> Module:
        """The module inside."""
        return getattr(self, INNER)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__(INNER), name)

    def __getitem__(self, key):
        return self.module[key]

    def forward(self, *args, **kwargs):
        kinds = self.mixed_precision
        casts = kinds.cast_forward_inputs or self._is_root and kinds.cast_root_forward_inputs
        if kinds.param_dtype is not None and casts:
            args, kwargs = cast((args, kwargs), kinds.param_dtype)
        if self._is_root and kinds.buffer_dtype is not None:
            self._cast_buffers(kinds.buffer_dtype)
        if self._unit is None:
            return self.module(*args, **kwargs)
        with self._unit.whole():
            return self.module(*args, **kwargs)

    def _cast_buffers(self, dtype):
        for b in self.module.buffers():
            if b.is_floating_point() and b.dtype != dtype:
                b.data = b.data.to(dtype)

    # -- all units below --------------------------------------------------------------------------------
    @staticmethod
    def fsdp_modules(module: Module, root_only: bool = False) -> list:
        """The wrappers in a module, itself included."""
        found = [m for m in module.modules() if isinstance(m, FullyShardedDataParallel)]
        return [m for m in found if m._is_root] if root_only else found

    @staticmethod
    def _units_of(module) -> list[Unit]:
        return [m._unit for m in FullyShardedDataParallel.fsdp_modules(module) if m._unit is not None]

    @contextmanager
    def no_sync(self):
        """Within it gradients add up in each process, whole; the next backward outside averages them."""
        units = self._units_of(self)
        for unit in units:
            unit.syncs = False
        try:
            yield
        finally:
            for unit in units:
                unit.syncs = True

    @staticmethod
    @contextmanager
    def summon_full_params(module: Module, recurse: bool = True, writeback: bool = True, rank0_only: bool = False,
                           offload_to_cpu: bool = False, with_grads: bool = False):
        """Within it the modules have whole parameters; what is written to them stays, with `writeback`."""
        found = FullyShardedDataParallel.fsdp_modules(module) if recurse else [module]
        flats = [(m.module, m.module._parameters.pop(FLAT, None)) for m in found if isinstance(m, Module)]
        try:
            with ExitStack() as stack:
                for m in found:
                    stack.enter_context(m._unit.summoned(writeback) if m._unit is not None else nullcontext())
                yield
        finally:
            for inner, flat in flats:
                if flat is not None:
                    inner._parameters[FLAT] = flat

    def clip_grad_norm_(self, max_norm: float, norm_type: float = 2.0) -> Tensor:
        """Clip by the norm of the gradients of all processes' parts: that norm."""
        units = self._units_of(self)
        order = float(norm_type)
        with no_grad():
            total = sum((self._summed(u, order) for u in units), ops.zeros(())) if order != float("inf") else None
            if total is None:
                total = ops.stack([self._summed(u, order) for u in units]).max()
            else:
                total = total ** (1 / order)
            scale = (max_norm / (total + 1e-6)).clamp(max=1.0)
            for leaf in (leaf for u in units for leaf in u.leaves if leaf.grad is not None):
                leaf.grad.mul_(scale.to(leaf.grad.dtype))
        return total

    @staticmethod
    def _summed(unit, order):
        """The sum of powers of a unit's gradients, or their largest absolute value."""
        grads = [leaf.grad.reshape(-1).abs().float() for leaf in unit.leaves if leaf.grad is not None]
        flat = ops.cat([*grads, ops.zeros(1)])
        is_max = order == float("inf")
        found = flat.max() if is_max else (flat ** order).sum()
        collectives.all_reduce(found, ReduceOp.MAX if is_max else ReduceOp.SUM, unit.cut.group)
        return found

    # -- state dictionaries -----------------------------------------------------------------------------
    @staticmethod
    def set_state_dict_type(module: Module, state_dict_type: StateDictType, state_dict_config=None,
                            optim_state_dict_config=None):
        """Which kind of dictionary `state_dict` makes and `load_state_dict` takes."""
        found = FullyShardedDataParallel.fsdp_modules(module)
        before = found[0]._state_kind
        for m in found:
            m._state_kind = (state_dict_type, state_dict_config or FullStateDictConfig())
        return before

    @staticmethod
    def get_state_dict_type(module: Module):
        """(kind, options)"""
        return FullyShardedDataParallel.fsdp_modules(module)[0]._state_kind

    @staticmethod
    @contextmanager
    def state_dict_type(module: Module, state_dict_type: StateDictType, state_dict_config=None,
                        optim_state_dict_config=None):
        """Within it, `set_state_dict_type`."""
        before = FullyShardedDataParallel.set_state_dict_type(module, state_dict_type, state_dict_config)
        try:
            yield
        finally:
            FullyShardedDataParallel.set_state_dict_type(module, *before)

    def state_dict(self, *args, destination=None, prefix: str = "", keep_vars: bool = False) -> dict:
        """Names as without the wrapper; all processes must call this."""
        if destination is not None:
            return self.module.state_dict(destination=destination, prefix=prefix, keep_vars=keep_vars)
        kind, options = self._state_kind
        with self.summon_full_params(self, writeback=False):
            found = self.module.state_dict(prefix=prefix, keep_vars=keep_vars)
        if getattr(options, "rank0_only", False) and current(None).rank():
            found.clear()
        if kind is StateDictType.FULL_STATE_DICT:
            return found
        names = {n for m in self.fsdp_modules(self) for n in self._names(m)}
        group = self.process_group
        for name, x in found.items():
            if name.removeprefix(prefix) in names and x.dim():
                sharding = Sharding(group, x.shape)
                found[name] = sharded(sharding.part(x).clone(), sharding)
        return found

    def _names(self, wrapper) -> list[str]:
        """The names, without wrappers, of the parameters of one of the units below."""
        if wrapper._unit is None:
            return []
        at = next(n for n, m in self.named_modules() if m is wrapper)
        return [_clean(f"{at}.{name}".lstrip(".")) for name in wrapper._unit.places.names]

    def load_state_dict(self, state_dict: dict, strict: bool = True, assign: bool = False):
        """Take over a dictionary of whole tensors, or of rows."""
        whole = {k: x.full_tensor() if hasattr(x, "sharding") else x for k, x in state_dict.items()}
        with self.summon_full_params(self):
            inside = {_clean(k): k for k in (*dict(self.named_parameters(remove_duplicate=False)),
                                             *dict(self.named_buffers(remove_duplicate=False)))}
            return super().load_state_dict({inside.get(k, k): x for k, x in whole.items()}, strict, assign)

    @staticmethod
    def optim_state_dict(model: Module, optim, optim_state_dict: dict | None = None, group=None) -> dict:
        """The optimiser's state by the names of parameters, with whole tensors."""
        from .optim_state import gathered
        return gathered(model, optim, optim_state_dict)

    full_optim_state_dict = optim_state_dict

    @staticmethod
    def optim_state_dict_to_load(model: Module, optim, optim_state_dict: dict, is_named_optimizer: bool = False,
                                 load_directly: bool = False, group=None) -> dict:
        """What the optimiser's `load_state_dict` takes, from what `optim_state_dict` gave."""
        from .optim_state import scattered
        found = scattered(model, optim, optim_state_dict)
        if load_directly:
            optim.load_state_dict(found)
        return found


def _clean(name: str) -> str:
    return name.replace(f"{INNER}.", "")


def _wrap_below(module, policy, options) -> int:
    """Wrap what the policy says, inner modules first; how many numbers are in no unit yet."""
    left = sum(p.numel() for p in module.parameters())
    if not policy(module=module, recurse=True, nonwrapped_numel=left):
        return left
    for name, child in list(module.named_children()):
        if isinstance(child, FullyShardedDataParallel):
            continue
        numel = sum(p.numel() for p in child.parameters())
        rest = _wrap_below(child, policy, options)
        answer = policy(module=child, recurse=False, nonwrapped_numel=rest)
        if answer and rest:
            more = answer if isinstance(answer, dict) else {}
            module._modules[name] = FullyShardedDataParallel(child, **{**options, **more})
            left -= numel
        else:
            left -= numel - rest
    return left
