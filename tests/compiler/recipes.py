"""Plans from recipes beside plans by the passes: they must be equal, word by word."""
from __future__ import annotations

from contextlib import contextmanager

import numpy as np

from rushlight.compiler import plan as planning, sizes as numbers
from rushlight.compiler.recipe import plain_recipe, trace
from rushlight.trace.flush import flush
from rushlight.trace.form import Form
from rushlight.trace.graph import spelled_out
from rushlight.trace.likeness import Sketch


@contextmanager
def compared(recipes: dict | None = None):
    """Every new plan is made by the passes and by a recipe; yields the list of differences.

    All that is not 0 or 1 counts as varying in the first trace of a form, so that the guards have
    to notice everything that matters. Programs run by the recipes' plans.
    """
    faults, known, before = [], {} if recipes is None else recipes, planning.make
    planning.plans.clear()
    planning.make = lambda d, variant, form: made(d, form, known, faults)
    numbers.is_exact = True
    try:
        yield faults
    finally:
        planning.make, numbers.is_exact = before, False
        planning.plans.clear()


def by_new_plans(make):
    """What `make` gives, computed by new plans; that recipes make the same ones is looked at, too."""
    planning.forget()
    with compared() as faults:
        results = make()
        flush()
    assert not faults
    return results


def made(bundles, bundled, known, faults):
    d = spelled_out(bundles)
    nodes = d.nodes
    form = Form(d)
    plan = planning.Plan(plain_recipe(nodes, d), (), bundled)
    if bundled.values != form.values or [bundles.inputs[n] for n in bundled.merged] != d.inputs:
        faults.append(f"bundled otherwise: {names(nodes)}")
    recipes = known.setdefault(form.key, [])
    sizes = None
    for recipe in recipes:
        sizes = recipe.sizes(form.values)
        if sizes is not None:
            break
    else:
        try:
            recipe = trace(d, Sketch(d, form).likeness, form.values, varying(form))
        except Exception as error:
            faults.append(f"cannot be traced: {error!r} in {names(nodes)}")
            return plan
        recipes.append(recipe)
        sizes = recipe.sizes(form.values)
    other = planning.Plan(recipe, sizes, bundled)
    faults += [f"{name} of {names(nodes)}: {difference(a, b)}" for (name, a), b in zip(
        told(plan).items(), told(other).values(), strict=True) if not alike(a, b)]
    return other


def difference(a, b) -> str:
    if isinstance(a, np.ndarray) and a.shape == b.shape:
        at = np.argwhere(a != b)[:20]
        return "; ".join(f"{place.tolist()}: {a[tuple(place)]} by the passes, {b[tuple(place)]} by a recipe" for place in at)
    return f"{a} by the passes, {b} by a recipe"


def names(nodes) -> str:
    return " ".join(str(node.sig) for node in nodes)


def varying(form) -> list:
    """Places of equal numbers together, without 0 and 1."""
    groups: dict = {}
    for place, n in enumerate(form.values):
        if n > 1:
            groups.setdefault(n, []).append(place)
    return list(groups.values())


def told(plan) -> dict:
    """A plan without the addresses of its own memory."""
    r = plan.recipe
    words = plan.words.copy()
    words[r.own_places] -= plan.address
    for at in (r.places, *(at for _, at, _ in r.scalar_places)):
        words[at] = 0
    first = plan.commands.__array_interface__["data"][0]
    commands = plan.commands.copy()
    commands[:, 1] -= plan.address
    return {"words": words, "commands": commands, "addends": plan.addends, "host addends": plan.host_addends,
            "bytes": plan.nbytes, "arena": plan.arena_bytes, "offsets": plan.offsets, "places": r.places, "bases": r.which,
            "numbers": [(d.name, at.tolist(), n) for d, at, n in r.scalar_places],
            "segments": [(s[0] - first, s[1]) if type(s) is list else s[:-1] for s in plan.segments],
            "outputs": (r.kept, r.output_slots, r.donors), "checks": r.checks,
            "inputs": (r.inputs, r.whole_leaves, r.shifted, r.itemsizes)}


def alike(a, b) -> bool:
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
