"""What rushlight did in this process: plans, kernels, seconds in LLVM, memory of the largest plan."""
from __future__ import annotations

from time import perf_counter

from rushlight.compiler import plan
from rushlight.cpu import jit
from rushlight.runtime import memory


class Facts:
    """Counts from its making on."""

    def __init__(self):
        self.llvm_s = 0.0
        self.compile_all, jit._compile_all = jit._compile_all, self.timed

    def timed(self, codes):
        """jit's function under a clock: waiting for all threads that compile."""
        started = perf_counter()
        try:
            return self.compile_all(codes)
        finally:
            self.llvm_s += perf_counter() - started

    def of_first_step(self) -> dict:
        plans = list(plan.plans.values())
        calls = [int(address) for p in plans for address in p.recipe.addresses]
        return {"plans": plan.misses, "calls": len(calls), "distinct": len(set(calls)),
                "compiled": jit.compilations, "loaded": jit.loads, "llvm_s": self.llvm_s}

    def of_steps(self, step) -> dict:
        """After some steps: memory, and what a smaller batch costs where the program has one."""
        found = {"tensors_mib": memory.statistics().peak / 2**20, **memory_of(plans_of(step))}
        smaller = getattr(step, "smaller", None)
        if smaller is not None:
            compiled = jit.compilations
            found["new_size_s"] = first_of_smaller(smaller())
            found["new_size_compiled"] = jit.compilations - compiled
        return found


def plans_of(step) -> list:
    """The plans that one step runs."""
    run, execute = [], plan.Plan.execute

    def watched(self, *args):
        run.append(self)
        return execute(self, *args)
    plan.Plan.execute = watched
    try:
        step().item()
    finally:
        plan.Plan.execute = execute
    return run


def memory_of(plans) -> dict:
    """Of the plan with the largest arena: its bytes, the sum of its slots; outputs, and those in place."""
    largest = max(plans, key=lambda p: p.arena_bytes, default=None)
    if largest is None:
        return {}
    recipe, nbytes = largest.recipe, largest.nbytes
    inside, outputs, taken = (sum(nbytes[slot] for slot in slots)
                              for slots in (largest.offsets, recipe.output_slots, recipe.donors))
    return {"arena_mib": largest.arena_bytes / 2**20, "slots_mib": inside / 2**20,
            "outputs_mib": outputs / 2**20, "in_place_mib": taken / 2**20}


def first_of_smaller(step) -> float:
    """Seconds of the first step with another batch size."""
    started = perf_counter()
    step().item()
    return perf_counter() - started
