"""`std::sort` of libstdc++, step by step: which of equal elements comes first follows from it.

cpu/introsort.py is the same as a kernel, and says more.
"""
from __future__ import annotations

from collections.abc import Sequence

PIECE = 16              # so many elements are left to insertion, which keeps their order


def std_sort(keys: Sequence) -> list[int]:
    """The numbers of the elements in sorted order."""
    items = [(key, number) for number, key in enumerate(keys)]
    if len(items) > PIECE:
        _split(items, 0, len(items), 2 * (len(items).bit_length() - 1))
    items.sort(key=lambda item: item[0])        # stable, as insertion is
    return [number for _, number in items]


def _split(items, first, last, depth) -> None:
    while last - first > PIECE:
        if depth == 0:
            return _sort_by_heap(items, first, last)
        depth -= 1
        cut = _partition(items, first, last)
        _split(items, cut, last, depth)
        last = cut


def _partition(items, first, last) -> int:
    x, y, z = first + 1, (first + last) // 2, last - 1
    a, b, c = (items[k][0] for k in (x, y, z))
    if a < b:
        median = y if b < c else z if a < c else x
    else:
        median = x if a < c else z if b < c else y
    items[first], items[median] = items[median], items[first]
    pivot, low, high = items[first][0], first + 1, last
    while True:
        while items[low][0] < pivot:
            low += 1
        high -= 1
        while pivot < items[high][0]:
            high -= 1
        if low >= high:
            return low
        items[low], items[high] = items[high], items[low]
        low += 1


def _sort_by_heap(items, first, last) -> None:
    heap = items[first:last]
    for parent in range(len(heap) // 2 - 1, -1, -1):
        _sift(heap, parent, len(heap), heap[parent])
    for n in range(len(heap) - 1, 0, -1):
        item, heap[n] = heap[n], heap[0]
        _sift(heap, 0, n, item)
    items[first:last] = heap


def _sift(heap, hole, n, item) -> None:
    """Let larger children rise into the hole down to a leaf, then the item from there."""
    top = hole
    while hole < (n - 1) // 2:
        child = 2 * hole + 2
        if heap[child][0] < heap[child - 1][0]:
            child -= 1
        heap[hole], hole = heap[child], child
    if n % 2 == 0 and hole == (n - 2) // 2:
        heap[hole], hole = heap[2 * hole + 1], 2 * hole + 1
    while hole > top and heap[(hole - 1) // 2][0] < item[0]:
        heap[hole], hole = heap[(hole - 1) // 2], (hole - 1) // 2
    heap[hole] = item
