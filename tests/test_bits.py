"""Whole programs come out bit for bit the same: fused or not, on any number of threads, from any cache, compiled or not.

A step's loss is read, and so are all parameters and buffers after STEPS steps. The first run of each
program is the reference; every other way must agree with it to the last bit.
"""
from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys

import pytest

import rushlight as T
from tests.fuzz.running import node_by_node, with_threads
from tests.small_programs import PROGRAMS

STEPS = 3
FRESH = ("mlp_large", "resnet", "gpt", "lstm", "graph")     # those that run in processes with a cold cache
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def digest(name, change=lambda step: step, steps=STEPS) -> str:
    """A hash over all losses and what a program leaves behind."""
    T.manual_seed(0)
    step, tensors = PROGRAMS[name]()
    step = change(step)
    seen = hashlib.sha256()
    for _ in range(steps):
        seen.update(step().detach().numpy().tobytes())
    for x in tensors:
        seen.update(x.detach().numpy().tobytes())
    return seen.hexdigest()


@functools.cache
def usual(name, steps=STEPS) -> str:
    return digest(name, steps=steps)


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_operation_alone_gives_the_same_bits(name):
    with node_by_node():
        assert digest(name) == usual(name)


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("name", PROGRAMS)
def test_threads_give_the_same_bits(name, threads):
    with with_threads(threads):
        assert digest(name) == usual(name)


@pytest.mark.parametrize("name", PROGRAMS)
def test_compiled_steps_give_the_same_bits(name):
    """More steps than it takes to find out what repeats itself."""
    assert digest(name, T.compile, 7) == usual(name, 7)


def test_steps_change_bits():
    """The digest would see it."""
    assert usual("mlp_small") != usual("mlp_small", STEPS + 1)
    assert len({usual(name) for name in PROGRAMS}) == len(PROGRAMS) - 1     # gpt with attention by hand, and given


def test_cold_and_warm_caches_give_the_same_bits(tmp_path):
    code = f"from tests.test_bits import digest\nfor name in {FRESH}: print(digest(name))"
    env = os.environ | {"PYTHONPATH": ROOT, "RUSHLIGHT_CACHE": str(tmp_path)}
    for _ in ("cold", "warm"):
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
        assert done.stdout.split() == [usual(name) for name in FRESH], done.stderr
