"""Writes along an index take a source of the destination's slices only: another one wrote beyond the end."""
from __future__ import annotations

import pytest

import rushlight as T


@pytest.mark.parametrize("shape", [(24, 2), (6, 2), (2,), (2, 5, 1)])
@pytest.mark.parametrize("method", ["index_copy", "index_add", "index_copy_", "index_add_"])
def test_source_of_other_slices_is_refused(method, shape):
    phrase = "must match self tensor shape" if "add" in method else "same slice shapes|dimensionality must match"
    with pytest.raises((RuntimeError, IndexError), match=phrase):
        getattr(T.ones(12, 5), method)(-1 if len(shape) == 2 else 0, T.tensor([0, 1]), T.ones(shape))


def test_one_number_is_copied_to_one_place():
    assert T.zeros(3).index_copy(0, T.tensor([1]), T.tensor(2.0)).tolist() == [0, 2, 0]
    assert T.zeros(()).index_add(0, T.tensor([0]), T.tensor(2.0)).item() == 2
