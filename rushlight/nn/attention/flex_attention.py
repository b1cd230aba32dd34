"""Attention whose scores a Python function changes, and whose mask is another one.

Both functions see one score at a time, `score_mod(score, b, h, q_idx, kv_idx)` and `mask_mod(b, h,
q_idx, kv_idx)`, and are mapped over all of them by vmap. What they record joins the attention
around them; the blocks of a `BlockMask` describe the mask and are not needed to compute.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypedDict

from ... import dtypes, ops
from ...func import vmap
from ...tensor import Tensor
from ..functional.attention import scaled_dot_product_attention

__all__ = ["AuxOutput", "AuxRequest", "BlockMask", "FlexKernelOptions", "and_masks", "create_block_mask",
           "create_mask", "flex_attention", "noop_mask", "or_masks"]


class FlexKernelOptions(TypedDict, total=False):
    """Accepted: the compiler decides here."""

    BACKEND: str
    PRESCALE_QK: bool


class AuxRequest(NamedTuple):
    """What to return beside the output."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """(B, H, L) logarithms of the sums of exponentials, and largest scores; None if not asked for."""

    lse: Tensor | None = None
    max_scores: Tensor | None = None


# -- functions of indices ------------------------------------------------------------------------------
def noop_mask(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """Every query sees every key."""
    return batch.new_ones(size=(), dtype=dtypes.bool)


def and_masks(*mask_mods: Callable) -> Callable:
    """The mask of what all the masks let through."""
    return _joined("and_mask", mask_mods, lambda a, b: a & b, True)


def or_masks(*mask_mods: Callable) -> Callable:
    """The mask of what one of the masks lets through."""
    return _joined("or_mask", mask_mods, lambda a, b: a | b, False)


def _joined(name, mask_mods, join, first):
    if not all(callable(m) for m in mask_mods):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")

    def mask_mod(b, h, q_idx, kv_idx):
        found = b.new_full((), first, dtype=dtypes.bool)
        for m in mask_mods:
            found = join(found, m(b, h, q_idx, kv_idx))
        return found
    mask_mod.__name__ = name
    return mask_mod


def _over_all(function, sizes, *scores):
    """function(*scores, b, h, q, kv) for all indices below `sizes`: (B, H, L, S)."""
    first = len(scores)
    for axis in (3, 2, 1, 0):
        dims = [0] * first + [None] * 4
        dims[first + axis] = 0
        function = vmap(function, tuple(dims))
    return function(*scores, *(ops.arange(n, dtype=dtypes.int32) for n in sizes))


def _takes_scores(function) -> bool:
    import inspect
    return sum(p.default is p.empty for p in inspect.signature(function).parameters.values()) == 5


def create_mask(mod_fn: Callable, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device=None) -> Tensor:
    """(B, H, L, S) booleans: what a mask_mod lets through, or a score_mod does not make -inf; None stands for 1."""
    sizes = (B or 1, H or 1, Q_LEN, KV_LEN)
    if not _takes_scores(mod_fn):
        return _over_all(mod_fn, sizes).expand(sizes).contiguous()
    return _over_all(mod_fn, sizes, ops.zeros(sizes)) != -math.inf


# -- masks by blocks -----------------------------------------------------------------------------------
class BlockMask:
    """A mask_mod, and which blocks of the scores it hides, shows in part, and shows in full.

    Args:
        seq_lengths: of queries and keys.
        kv_num_blocks, kv_indices: how many blocks of keys the rows of blocks (B, H, rows) show in
            part, and which, (B, H, rows, columns) with those first; `full_` ones need no mask_mod,
            `q_` ones say the same by columns.
    """

    def __init__(self, seq_lengths, kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices, q_num_blocks,
                 q_indices, full_q_num_blocks, full_q_indices, BLOCK_SIZE=(128, 128),
                 mask_mod: Callable = noop_mask, **_orders):
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        self.seq_lengths, self.BLOCK_SIZE, self.mask_mod = tuple(seq_lengths), BLOCK_SIZE, mask_mod
        self.kv_num_blocks, self.kv_indices = kv_num_blocks, kv_indices
        self.full_kv_num_blocks, self.full_kv_indices = full_kv_num_blocks, full_kv_indices
        self.q_num_blocks, self.q_indices = q_num_blocks, q_indices
        self.full_q_num_blocks, self.full_q_indices = full_q_num_blocks, full_q_indices

    @classmethod
    def from_kv_blocks(cls, kv_num_blocks: Tensor, kv_indices: Tensor, full_kv_num_blocks: Tensor | None = None,
                       full_kv_indices: Tensor | None = None, BLOCK_SIZE=128, mask_mod: Callable | None = None,
                       seq_lengths=None, compute_q_blocks: bool = True, **_orders) -> BlockMask:
        """A mask from its blocks by rows; without a mask_mod these blocks alone say what is seen."""
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        if (full_kv_num_blocks is None) != (full_kv_indices is None):
            raise AssertionError("full_kv_num_blocks and full_kv_indices must be both provided or omitted")
        size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
        columns, nothing = kv_indices.size(-1), (None, None)
        by_rows = [(kv_num_blocks, kv_indices), (full_kv_num_blocks, full_kv_indices)]
        by_columns = [nothing if n is None or not compute_q_blocks else _listed(_marked(n, i, columns).mT)
                      for n, i in by_rows]
        lengths = seq_lengths or (kv_indices.size(-2) * size[0], columns * size[1])
        return cls(lengths, *by_rows[0], *by_rows[1], *by_columns[0], *by_columns[1], size, mask_mod or noop_mask)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.kv_indices.shape[:-2], *self.seq_lengths)

    def numel(self) -> int:
        return math.prod(self.shape)

    def to_dense(self) -> Tensor:
        """(B, H, rows, columns): 1 for each block of which anything is seen, int32."""
        columns = self.kv_indices.size(-1)
        found = _marked(self.kv_num_blocks, self.kv_indices, columns)
        if self.full_kv_num_blocks is not None:
            found = found | _marked(self.full_kv_num_blocks, self.full_kv_indices, columns)
        return found.int()

    def sparsity(self) -> float:
        """How many percent of the scores are in blocks that are hidden."""
        seen = self.to_dense().sum().item() * math.prod(self.BLOCK_SIZE)
        return 100 * (1 - seen / self.numel())

    def as_tuple(self, flatten: bool = True) -> tuple:
        """The arguments of the constructor."""
        pairs = (self.seq_lengths, self.BLOCK_SIZE)
        tables = (self.kv_num_blocks, self.kv_indices, self.full_kv_num_blocks, self.full_kv_indices,
                  self.q_num_blocks, self.q_indices, self.full_q_num_blocks, self.full_q_indices)
        first, last = pairs if flatten else [(p,) for p in pairs]
        return (*first, *tables, *last, self.mask_mod)

    def _tables(self, change):
        return [None if t is None else change(t) for t in self.as_tuple(False)[1:9]]

    def __getitem__(self, index) -> BlockMask:
        index = index if isinstance(index, tuple) else (index,)
        index = tuple(slice(i, i + 1 or None) if isinstance(i, int) else i for i in index)
        return BlockMask(self.seq_lengths, *self._tables(lambda t: t[index]), self.BLOCK_SIZE, self.mask_mod)

    def to(self, device) -> BlockMask:
        """The same mask on a device."""
        return BlockMask(self.seq_lengths, *self._tables(lambda t: t.to(device)), self.BLOCK_SIZE, self.mask_mod)

    def _adjust(self, new_q_len: int, new_kv_len: int) -> BlockMask:
        """The upper left corner: a mask for shorter sequences."""
        rows, columns = (-(-n // size) for n, size in zip((new_q_len, new_kv_len), self.BLOCK_SIZE))
        width = self.kv_indices.size(-1)
        tables = []
        for n, i in ((self.kv_num_blocks, self.kv_indices), (self.full_kv_num_blocks, self.full_kv_indices)):
            tables += (None, None) if n is None else _listed(_marked(n, i, width)[..., :rows, :columns])
        return BlockMask.from_kv_blocks(*tables, self.BLOCK_SIZE, self.mask_mod, (new_q_len, new_kv_len))

    def to_string(self, grid_size=(20, 20), limit: int = 4) -> str:
        """Pictures of the first `limit` heads, in about `grid_size` cells: full, partly full, empty."""
        rows, columns = (grid_size, grid_size) if isinstance(grid_size, int) else grid_size
        dense = self.to_dense()
        heads = dense.reshape(-1, *dense.shape[-2:])
        texts = [f"{place}\n{_picture(head.numpy(), rows, columns)}"
                 for place, head in zip(_places(dense.shape[:-2]), heads[:limit])]
        if len(heads) > limit:
            texts.append("...\nTo print out more, set BlockMask.to_string(limit=N)\nYou can also index "
                         "(BlockMask[batch, head]) to choose a specific batch or head")
        return "\n\n".join(texts)

    def __str__(self):
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%, \n{self.to_string().strip()}\n)"

    def __repr__(self):
        names = ["kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices", "q_num_blocks", "q_indices",
                 "full_q_num_blocks", "full_q_indices"]
        tables = self._tables(lambda t: t.shape)
        rest = [f"BLOCK_SIZE={self.BLOCK_SIZE}", f"shape={self.shape}", f"sparsity={self.sparsity():.2f}%",
                f"mask_mod={getattr(self.mask_mod, '__name__', self.mask_mod)}"]
        return "BlockMask(\n    " + ",\n    ".join([f"{n}={t}" for n, t in zip(names, tables)] + rest) + "\n)"


def _places(sizes):
    from itertools import product
    return product(*map(range, sizes))


def _picture(blocks, rows, columns) -> str:
    high, wide = (-(-n // cells) for n, cells in zip(blocks.shape, (rows, columns)))
    cells = [[blocks[i:i + high, j:j + wide].mean() for j in range(0, blocks.shape[1], wide)]
             for i in range(0, blocks.shape[0], high)]
    return "\n".join("".join("██" if c == 1 else "░░" if c else "  " for c in row) for row in cells)


def _listed(marks):
    """(..., rows, columns) booleans to the numbers of True in the rows, and their columns first."""
    marks = marks.int()
    order = ops.argsort(marks, dim=-1, descending=True, stable=True).int()
    return marks.sum(-1).int(), order.contiguous()


def _marked(counts, indices, columns):
    """The booleans again."""
    there = ops.arange(indices.size(-1)) < counts.unsqueeze(-1)
    marks = ops.zeros(*indices.shape[:-1], columns + 1, dtype=dtypes.int32)
    at = ops.where(there, indices.long(), columns)
    return marks.scatter(-1, at, ops.ones_like(at, dtype=dtypes.int32))[..., :columns].bool()


def create_block_mask(mask_mod: Callable, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device=None,
                      BLOCK_SIZE: int | tuple[int, int] = 128, _compile: bool = False,
                      separate_full_blocks: bool = True, **_orders) -> BlockMask:
    """The blocks of a mask_mod.

    Args:
        mask_mod: (b, h, q_idx, kv_idx), 0-d integer tensors, to a boolean: whether the key is seen.
        B, H: None if the mask does not depend on them.
    """
    if not callable(mask_mod):
        raise TypeError(f"{mask_mod!r} is not a callable object")
    size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
    mask = create_mask(mask_mod, B, H, Q_LEN, KV_LEN)
    rows, columns = -(-Q_LEN // size[0]), -(-KV_LEN // size[1])
    padded = ops.zeros(*mask.shape[:2], rows * size[0], columns * size[1], dtype=dtypes.bool)
    padded[..., :Q_LEN, :KV_LEN] = mask
    counts = padded.reshape(*mask.shape[:2], rows, size[0], columns, size[1]).sum((3, 5))
    full = (counts == size[0] * size[1]) if separate_full_blocks else None
    partial = counts > 0 if full is None else (counts > 0) & ~full
    return BlockMask.from_kv_blocks(*_listed(partial), *((None, None) if full is None else _listed(full)), size,
                                    mask_mod, (Q_LEN, KV_LEN))


def _seen(block_mask, sizes):
    """(B, H, L, S) booleans, or what broadcasts to it."""
    if block_mask.mask_mod is not noop_mask:
        return _over_all(block_mask.mask_mod, sizes)
    blocks = block_mask.to_dense().bool()
    for axis, size, n in zip((-2, -1), block_mask.BLOCK_SIZE, sizes[2:]):
        blocks = blocks.repeat_interleave(size, axis).narrow(axis, 0, n)
    return blocks


# -- attention -----------------------------------------------------------------------------------------
def flex_attention(query: Tensor, key: Tensor, value: Tensor, score_mod: Callable | None = None,
                   block_mask: BlockMask | None = None, scale: float | None = None, enable_gqa: bool = False,
                   return_lse: bool = False, kernel_options: FlexKernelOptions | None = None, *,
                   return_aux: AuxRequest | None = None):
    """softmax(score_mod(q k^T scale), masked) v: (B, Hq, L, E), (B, H, S, E), (B, H, S, Ev) to (B, Hq, L, Ev).

    Args:
        score_mod: (score, b, h, q_idx, kv_idx), 0-d tensors, to the score that is used; it may read
            other tensors, also such that need gradients.
        block_mask: of `create_block_mask`; a query that sees no key gets 0.
        enable_gqa: Hq is a multiple of H, and neighbouring queries share keys.
        return_aux: also return an `AuxOutput`; `return_lse` returns (output, lse).

    Raises:
        ValueError: sizes that do not fit each other or the mask.
        NotImplementedError: inputs that are not 4-D.
    """
    _check(query, key, value, block_mask, enable_gqa)
    key, value = (t.expand(query.size(0), *t.shape[1:]) for t in (key, value))
    scale = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    sizes = (*query.shape[:3], key.size(2))
    asked = return_aux or AuxRequest(lse=return_lse)
    if score_mod is None and not any(asked):
        mask = None if block_mask is None else _seen(block_mask, sizes)
        return scaled_dot_product_attention(query, key, value, mask, scale=scale, enable_gqa=enable_gqa)
    output, aux = _attend(query, key, value, score_mod, block_mask, scale, sizes, asked)
    return (output, aux) if return_aux is not None else (output, aux.lse) if return_lse else output


def _attend(query, key, value, score_mod, block_mask, scale, sizes, asked):
    groups = query.size(1) // key.size(1)
    if groups > 1:
        key, value = (t.repeat_interleave(groups, 1) for t in (key, value))
    scores = ops.matmul(query, key.mT).to(dtypes.promote_types(query.dtype, dtypes.float32)) * scale
    if score_mod is not None:
        scores = _over_all(score_mod, sizes, scores)
    if block_mask is not None:
        scores = scores.masked_fill(~_seen(block_mask, sizes), -math.inf)
    top = scores.detach().amax(-1, keepdim=True)
    weights = ops.exp(scores - top.masked_fill(top == -math.inf, 0.0))
    total = weights.sum(-1, keepdim=True)
    weights = weights / total.masked_fill(total == 0, 1.0)
    aux = AuxOutput(scores.logsumexp(-1) if asked.lse else None, top.squeeze(-1) if asked.max_scores else None)
    return ops.matmul(weights.to(query.dtype), value), aux


def _check(query, key, value, block_mask, enable_gqa):
    if not query.dim() == key.dim() == value.dim() == 4:
        raise NotImplementedError("NYI: query, key, and value must be 4D tensors")
    if query.size(-1) != key.size(-1):
        raise ValueError("Expect query and key/value to have the same embedding dimension but got "
                         f"E={query.size(-1)} and E={key.size(-1)}.")
    batch, shared, heads, few = query.size(0), key.size(0), query.size(1), key.size(1)
    if shared not in (1, batch):
        raise ValueError("Expect query and key/value to have the same batch size, or non-none block_mask, but got "
                         f"block_mask={block_mask}, Bq={batch}, and Bkv={shared}.")
    if not enable_gqa and heads != few:
        raise ValueError("Expect query and key/value to have the same number of heads but got "
                         f"Hq={heads} and Hkv={few}. Try setting enable_gqa=True for GQA.")
    if heads % few:
        raise ValueError("Expect number of query heads to be a multiple of kv heads for GQA but got "
                         f"Hq={heads} and Hkv={few}.")
    lengths = query.size(2), key.size(2)
    if block_mask is not None and any(n > m for n, m in zip(lengths, block_mask.seq_lengths)):
        raise ValueError(_misfit(block_mask, lengths, "longer", "create a new block mask with the correct length"))
    if block_mask is not None and lengths != block_mask.seq_lengths:
        raise ValueError(_misfit(block_mask, lengths, "shorter", "block_mask._adjust(q_len, kv_len) takes its upper "
                                 "left corner, if that is what the mask_mod means there"))


def _misfit(block_mask, lengths, how, advice):
    return (f"block_mask was created for block_mask.shape={block_mask.shape} but got q_len={lengths[0]} and "
            f"kv_len={lengths[1]}, which is {how}: {advice}")
