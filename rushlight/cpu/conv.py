"""Convolutions in 1, 2 and 3 dimensions as contractions that read images as they are needed.

Forward: out[(n, p), o] = sum over (c, taps) of x at (n, p, taps) * w[o, (c, taps)], a tile of
    positions at a time, transposed on the way out; with few outputs w times packed patches of x.
Input gradient: for each phase of the stride, the image positions that meet the same taps, the
    forward contraction of g with those taps of w, walked backwards.
Weight gradient: dw[(c, taps), o] = sum over (n, p) of x at (n, p, taps) * g[o, (n, p)], transposed
    block by block; with few weights (n, p) is cut into parts of fixed size, added in order.

All three are products of matrices where the only window is the whole image, as at the ends of a
generator and of its judge; and many take Winograd's way.
"""
from __future__ import annotations

from itertools import product
from math import prod
from typing import NamedTuple

from ..compiler.kernel import LANES, Call, Epilogue, Ref, View
from ..compiler.sizes import larger, smaller, times
from ..dtypes import dtype, float32, float64
from .contract import (BLOCK_K, BLOCK_ROWS, PANELS, PLENTY, Contraction, Cut, Left, Right, Temp,
                       balanced, ceil_div, columns_of, contract, cut_columns, whole_panels)
from .channels import grad_over_channels, is_wide, over_channels, plan_of, tap_step
from .depthwise import Weights, direct, may_spread, over_planes, upright, weight_grad
from .finish import Finisher, Grid, finisher
from .gemm import lower_matmul, packed, turned
from .image import Along, Image, Lines, W, image_way, image_words, read_image
from .micro import PANEL_BYTES, ROWS
from .pack import Matrix, merged, pack_copy, pack_transpose, read_matrix
from .patches import pack_patches, patch_way, patch_words
from .phases import interleave, phases
from .winograd import are_near, suits, way_of, winograd, winograd_weight_grad

POSITIONS = 512         # of a tile; what they read of the image stays in the second-level cache
FEW = 64                # positions that a tile may go down to for there to be enough tiles
WIDE = 128              # outputs of a tile
MOST_LINES = 1 << 19    # bytes of lines that a block may copy
LEAST_DEPTH = 16        # (channel, taps) that are worth transposing a tile
LITTLE = 2048           # weights; with fewer, tiles of patches are wide to be worth their overhead
MOST_PANELS = 8


def lower_conv(out: View, x: View, w: View, stride, padding, dilation, groups: int, temp: Temp,
               epilogue: Epilogue | None = None) -> list[Call]:
    """out [n, o, *p] = x [n, c, *size] convolved with w [o, c / groups, *taps], and epilogue."""
    if prod(out.shape) == 0:
        return []
    live = _live_taps(x.shape[2:], out.shape[2:], w, stride, padding, dilation)
    if live:
        return lower_conv(out, x, live[0], stride, live[1], dilation, groups, temp, epilogue)
    if _is_one_window(x, out, w, padding, dilation, groups):
        if made := _product(out, x, w, temp, epilogue, "forward"):
            return made
    note = _note("conv", x, w, stride, padding)
    _, before, (x, w) = _prepare(temp, x, w)
    geometry = out.shape, w.shape, stride, padding, dilation
    image = _image(x, groups, _windows(x, *geometry))
    if not _is_read_so(image, x, w.shape, groups):
        x = packed(before, x.dtype, x, temp)
        image = _image(x, groups, _windows(x, *geometry))
    rows, (o, c, *taps) = w.shape[0] // groups, w.strides
    weights = w._replace(shape=(groups, rows, *w.shape[1:]), strides=(rows * o, o, c, *taps))
    return before + _over_positions(out, x, image, weights, temp, epilogue, note)


def _live_taps(sizes, positions, w: View, stride, padding, dilation) -> tuple[View, tuple] | None:
    """w without the outer taps that meet padding only, and its padding; None if there are none."""
    ends = [_live_range(*dim) for dim in zip(sizes, positions, w.shape[2:], stride, padding,
                                             dilation, strict=True)]
    counts = [last - first for first, last in ends]
    if any(n < 1 for n in counts) or all(n == k for n, k in zip(counts, w.shape[2:], strict=True)):
        return None
    firsts = [first for first, _ in ends]
    pads = tuple(p - first * d for p, first, d in zip(padding, firsts, dilation, strict=True))
    return _sliced(w, firsts, [1] * len(firsts), counts), pads


def _live_range(size, positions, kernel, stride, pad, step) -> tuple[int, int]:
    """The first tap that meets an index of some position, and the end of those that do."""
    def meets(tap: int) -> bool:
        first = pad - tap * step            # what a position times the stride must reach
        at = ceil_div(larger(0, first), stride)
        return at < positions and at * stride < first + size
    first, last = 0, kernel
    while first < last and not meets(first):
        first += 1
    while last > first and not meets(last - 1):
        last -= 1
    return first, last


def _is_read_so(image: Image, x: View, w, groups: int) -> bool:
    """Whether x is well read from where it lies: columns are adjacent, or channels may be."""
    if x.strides[-1] == 1 or image.taps == 1 and image_way(image, x.itemsize) == "place":
        return True
    seen, _ = upright(image, Weights(x.ref, (0,) * 5))
    by_channels = (w[0], w[1]) == (groups, 1) and plan_of(seen, groups, x.dtype)
    return bool(by_channels or suits(seen, w[1], w[0], x.shape[0], groups, x.dtype))


def _windows(x: View, out, kernel, stride, padding, dilation) -> list[Along]:
    dims = zip(x.strides[2:], out[2:], x.shape[2:], stride, padding, dilation, kernel[2:],
               strict=True)
    return [Along(s * x.itemsize, p, n, move, -pad, step, taps)
            for s, p, n, move, pad, step, taps in dims]


def lower_conv_input_grad(out: View, g: View, w: View, stride, padding, dilation, groups: int,
                          temp: Temp, epilogue: Epilogue | None = None) -> list[Call]:
    """out [n, c, *size] = gradient of a convolution in its input, from g [n, o, *p].

    The same is the transposed convolution of g.
    """
    if prod(out.shape) == 0:
        return []
    live = _live_taps(out.shape[2:], g.shape[2:], w, stride, padding, dilation)
    if live:
        return lower_conv_input_grad(out, g, live[0], stride, live[1], dilation, groups, temp,
                                     epilogue)
    if _is_one_window(out, g, w, padding, dilation, groups):
        if made := _product(out, g, w, temp, epilogue, "input"):
            return made
    note = _note("conv input grad", g, w, stride, padding)
    _, before, (g, w) = _prepare(temp, g, w)
    if spread := may_spread(stride):
        made = _spread_input_grad(out, g, w, (spread, padding, dilation), groups, temp, epilogue,
                                  note)
        if made:
            return before + made
    dims = [list(phases(*dim)) for dim in zip(
        out.shape[2:], g.shape[2:], g.strides[2:], w.shape[2:], stride, padding, dilation,
        strict=True)]
    if max(map(len, dims)) == 1:
        phase = [d for d, in dims]
        return before + _input_grad_phase(out, g, w, phase, groups, temp, epilogue, note)
    if g.strides[-1] != 1:
        return before + lower_conv_input_grad(out, packed(before, g.dtype, g, temp), w, stride,
                                              padding, dilation, groups, temp, epilogue)
    parts = []
    for phase in product(*dims):
        part = _phase_result(out, phase, g.dtype, temp)
        before += _input_grad_phase(part, g, w, phase, groups, temp, None, note) if part else []
        parts.append(part)
    result = _finish_image(g.dtype, out, 1, epilogue)
    return [*before, interleave(out, g.dtype, parts, [len(d) for d in dims], result, note)]


def _spread_input_grad(out, g, w, geometry, groups, temp, epilogue, note) -> list[Call]:
    """A strided input gradient of few channels: g with zeros between; none if it does not suit."""
    spread, padding, dilation = geometry
    pair = spread[-len(padding):]
    along = [Along(s * g.itemsize, n, (m - 1) * every + 1, 1, pad, -step, taps)
             for s, n, m, every, pad, step, taps in zip(
                 g.strides[2:], out.shape[2:], g.shape[2:], pair, padding, dilation, w.shape[2:],
                 strict=True)]
    rows, inner, (o, c, *steps) = w.shape[1], w.shape[0] // groups, w.strides
    weights = w._replace(shape=(groups, rows, inner, *w.shape[2:]),
                         strides=(inner * o, c, o, *steps))
    plain = Along(0, 1, 1, 1, 0, 1, 1)
    image = _image(g, groups, along)._replace(along=(*[plain] * (3 - len(along)), *along))
    if 0 not in g.shape:
        made = _by_channels(out, g, image, weights, temp, epilogue, note, spread)
        if made is not None:
            return made
    seen, taps = upright(image, _weights(weights))
    plan = direct(seen, inner, rows, g.itemsize, spread)
    if plan is None or 0 in g.shape:
        return []
    if g.strides[-1] != 1:
        before: list[Call] = []
        g = packed(before, g.dtype, g, temp)
        return before + _spread_input_grad(out, g, w, geometry, groups, temp, epilogue, note)
    result = _finish_image(g.dtype, out, groups, epilogue)
    return [over_planes(plan, taps, g.shape[0], groups, g.dtype, result, note)]


def _phase_result(out: View, phase, kind: dtype, temp: Temp) -> View | None:
    """Where a phase goes, packed; None if it meets no taps."""
    if not all(p.along.taps for p in phase):
        return None
    shape = (*out.shape[:2], *(p.along.out for p in phase))
    strides = tuple(prod(shape[d + 1:]) for d in range(len(shape)))
    return View(temp(prod(shape) * kind.itemsize), kind, shape, strides)


def _input_grad_phase(out, g, w, phase, groups, temp, epilogue, note) -> list[Call]:
    along = [p.along._replace(stride=p.along.stride * g.itemsize) for p in phase]
    if not _is_read_so(_image(g, groups, along), g, (w.shape[0], w.shape[1]), groups):
        before: list[Call] = []
        g = packed(before, g.dtype, g, temp)
        phase = [p._replace(along=p.along._replace(stride=s))
                 for p, s in zip(phase, g.strides[2:], strict=True)]
        return before + _input_grad_phase(out, g, w, phase, groups, temp, epilogue, note)
    taps = _sliced(w, [p.tap for p in phase], [p.tap_step for p in phase],
                   [p.along.taps for p in phase])
    rows, inner, (o, c, *steps) = w.shape[1], w.shape[0] // groups, taps.strides
    weights = taps._replace(shape=(groups, rows, inner, *taps.shape[2:]),
                            strides=(inner * o, c, o, *steps))
    return _over_positions(out, g, _image(g, groups, along), weights, temp, epilogue, note)


def _sliced(x: View, first, every, count) -> View:
    """The last dimensions of x from `first` on, each `every`th."""
    inner = x.strides[-len(first):]
    offset = sum(f * s for f, s in zip(first, inner, strict=True)) * x.itemsize
    return x._replace(ref=Ref(x.ref.slot, x.ref.offset + offset), shape=(*x.shape[:2], *count),
                      strides=(*x.strides[:2], *(s * e for s, e in zip(inner, every, strict=True))))


def lower_conv_weight_grad(out: View, g: View, x: View, stride, padding, dilation, groups: int,
                           temp: Temp) -> list[Call]:
    """out [o, c / groups, *taps] = gradient of a convolution in its weight, from g [n, o, *p]."""
    if prod(out.shape) == 0:
        return []
    if _is_one_window(x, g, out, padding, dilation, groups):
        if made := _product(out, g, x, temp, None, "weight"):
            return made
    note = _note("conv weight grad", x, out, stride, padding)
    kind, before, (g, x) = _prepare(temp, g, x)
    image = _image(x, groups, _windows(x, g.shape, out.shape, stride, padding, dilation))
    if out.shape[:2] == (groups, 1) and plan_of(image, groups, kind):
        seen, near = _adjacent_channels(before, x, image, temp), g
        if 1 not in (g.strides[1], g.strides[-1]):
            near = packed(before, kind, g, temp)
        plan = plan_of(seen, groups, kind)
        return before + grad_over_channels(plan, near, _finish_weights(kind, out, 1), temp, note)
    if not _is_packed(g, 2):
        g = packed(before, kind, g, temp)
    if not _is_read_so(image, x, out.shape, groups):
        x = packed(before, kind, x, temp)
        image = _image(x, groups, _windows(x, g.shape, out.shape, stride, padding, dilation))
    if plan := direct(image, x.shape[1] // groups, out.shape[0] // groups, kind.itemsize):
        result = _finish_weights(kind, out, groups)
        return before + weight_grad(plan, g, g.shape[0], groups, kind, result, temp, note)
    if suits(image, x.shape[1], out.shape[0], g.shape[0], groups, kind):
        seen = _adjacent_channels(before, x, image, temp)
        return before + winograd_weight_grad(seen, g, x.shape[1], _finish_weights(kind, out, 1),
                                             temp, note)
    result, turns = _finish_weights(kind, out, groups), True
    if _is_better_swapped(image, x.shape[1] // groups, out.shape[0] // groups):
        g, x, turns = x if _is_packed(x, 2) else packed(before, kind, x, temp), g, False
        image = _image(x, groups, _windows(x, g.shape, out.shape, stride, padding, dilation))
    for most in (BLOCK_ROWS, BLOCK_ROWS // 4, BLOCK_ROWS // 16, 1):
        rows = _channel_blocks(image, x.shape[1] // groups, most)
        reading = _reading(image, g.shape[0], rows.tile, kind, POSITIONS)
        if reading.fits:
            break
    columns = cut_columns(kind, groups * rows.pieces, g.shape[1] // groups)
    c = Contraction(kind, groups, rows, columns, reading.cut, turned=turns)
    left = _image_operand(image, reading, True)
    return before + contract(c, left, _positions(g, c), result, temp, note)


def _is_better_swapped(image: Image, channels: int, outputs: int) -> bool:
    """Whether few outputs should be rows and channels columns: where there is one tap, in place."""
    plain = image.taps == 1 and all((a.out, a.move, a.start) == (a.size, 1, 0) for a in image.along)
    return plain and 2 * ceil_div(channels, LANES) * outputs < ceil_div(outputs, LANES) * channels


def _is_one_window(image: View, positions: View, w: View, padding, dilation, groups: int) -> bool:
    """Whether the taps cover the image exactly, at one position."""
    return groups == 1 and not any(padding) and all(d == 1 for d in dilation) \
        and all(n == 1 for n in positions.shape[2:]) \
        and all(n == k for n, k in zip(image.shape[2:], w.shape[2:], strict=True))


def _product(out: View, a: View, b: View, temp: Temp, epilogue: Epilogue | None,
             what: str) -> list[Call] | None:
    """The convolution as a product; None where a result has no single step along what is one axis.

    What is read is copied in such a case: the order of sums must not follow from where it lies.
    """
    before: list[Call] = []
    results = [_flat(view) for view in (out, *(epilogue.outputs if epilogue else ()))]
    if None in results:
        return None
    a, b, *others = (_flat(view) or _flat(_copied(before, view, temp))
                     for view in (a, b, *(epilogue.inputs if epilogue else ())))
    if epilogue:
        epilogue = Epilogue(epilogue.body, tuple(others), tuple(results[1:]))
    a, b = {"forward": (a, turned(b)), "input": (a, b), "weight": (turned(a), b)}[what]
    return before + lower_matmul(results[0], a, b, temp, epilogue)


def _copied(before: list[Call], x: View, temp: Temp) -> View:
    """x packed; what all images share only once."""
    if x.strides[0] != 0:
        return packed(before, x.dtype, x, temp)
    one = packed(before, x.dtype, x._replace(shape=(1, *x.shape[1:])), temp)
    return one._replace(shape=x.shape, strides=(0, *one.strides[1:]))


def _flat(x: View) -> View | None:
    """x as a matrix, all axes after the first one as one."""
    (n, (step,)), *others = merged(x.shape[1:], [x.strides[1:]])
    return None if others else x._replace(shape=(x.shape[0], n), strides=(x.strides[0], step))


def _finish_weights(kind: dtype, out: View, groups: int) -> Finisher:
    """Tiles come as [o, (c, taps)]; out must be packed in (c, taps)."""
    outputs, depth = out.shape[0] // groups, prod(out.shape[1:])
    if not _is_packed(out, 1):
        raise NotImplementedError("lower_conv_weight_grad: an output that is not packed")
    grid = Grid((outputs * out.strides[0],), out.strides[0], (), 1)
    return finisher(Grid((groups,), outputs, (), depth), kind, None, [(out, grid)], 0)


# --- operands -------------------------------------------------------------------------------------

def _prepare(temp: Temp, *operands: View) -> tuple[dtype, list[Call], list[View]]:
    """The dtype to compute in, and the operands in it."""
    kind = float64 if operands[0].dtype is float64 else float32
    before: list[Call] = []
    return kind, before, [x if x.dtype is kind else packed(before, kind, x, temp) for x in operands]


def _is_packed(x: View, leading: int) -> bool:
    """Whether the dimensions after `leading` are row-major without gaps."""
    step = 1
    for n, s in zip(reversed(x.shape[leading:]), reversed(x.strides[leading:]), strict=True):
        if n != 1 and s != step:
            return False
        step *= n
    return True


def _weight_rows(w: View) -> Matrix | None:
    """w [group, row, channel, *taps] as rows of (channel, taps), if the taps are packed."""
    group, row, channel = (s * w.itemsize for s in w.strides[:3])
    taps = prod(w.shape[3:])
    if not _is_packed(w, 3):
        return None
    inner = w.shape[2] * taps if w.strides[2] == taps or w.shape[2] == 1 else taps
    return Matrix(w.ref, row, w.itemsize, larger(1, inner), channel, ((w.shape[0], group),))


def _weights_as_panels(before: list[Call], c: Contraction, w: View, temp: Temp) -> Right:
    """B: a column for each row of w, packed once for all positions."""
    rows = _weight_rows(w)
    if rows and w.strides[1] == 1 and rows.inner == 1:
        rows = rows._replace(row=w.itemsize, step=rows.outer)
        return whole_panels(before, c, pack_copy(c.kind.llvm), rows.words, temp)
    rows = rows or _weight_rows(packed(before, c.kind, w, temp))
    return whole_panels(before, c, pack_transpose(c.kind.llvm), rows.words, temp)


def _weights_as_rows(before: list[Call], w: View, temp: Temp) -> Left:
    """A: rows with k at equal steps."""
    rows = _weight_rows(w)
    if rows and rows.inner == 1:
        rows = rows._replace(step=rows.outer)
    elif rows is None or rows.inner < prod(w.shape[2:]):
        rows = _weight_rows(packed(before, w.dtype, w, temp))
    return Left(read_matrix(), rows.words())


def _image(x: View, groups: int, along: list[Along]) -> Image:
    n, channel = (s * x.itemsize for s in x.strides[:2])
    return Image(x.ref, x.shape[1] // groups * channel, n, channel, _three(along))


def _three(along: list[Along]) -> tuple[Along, Along, Along]:
    """Depth, height and width; those that a tap of one does not part are joined."""
    dims: list[Along] = []
    for a in along:
        if dims and _joins(dims[-1], a):
            a = a._replace(out=a.out * dims[-1].out, size=a.size * dims.pop().size)
        dims.append(a)
    return (*[Along(0, 1, 1, 1, 0, 1, 1)] * (3 - len(dims)), *dims)


def _joins(outer: Along, inner: Along) -> bool:
    plain = all((a.move, a.start, a.taps, a.out) == (1, 0, 1, a.size) for a in (outer, inner))
    return plain and outer.stride == inner.stride * inner.size


def _channel_blocks(image: Image, channels: int, most: int) -> Cut:
    """(channel, taps) in blocks, of whole channels if those are not too large."""
    if image.taps > most:
        return balanced(channels * image.taps, most, ROWS)
    cut = balanced(channels, larger(1, most // larger(1, image.taps)), 1)
    return Cut(cut.image * image.taps, cut.blocks, cut.tile * larger(1, image.taps))


class Reading(NamedTuple):
    """How positions are cut into blocks, and the lines that a block copies (None: in place)."""
    cut: Cut
    lines: Lines | None
    way: str
    itemsize: int

    @property
    def fits(self) -> bool:
        """Whether the lines are small enough for the cache and the stack."""
        return self.lines is None or self.lines.bytes <= MOST_LINES


def _reading(image: Image, images: int, depth: int, kind: dtype, most: int) -> Reading:
    """Blocks of about `most` positions, for `depth` (channel, taps) at a time."""
    deep, high, wide = image.along
    planes, plane = images * deep.out, high.out * wide.out
    way = image_way(image, kind.itemsize)
    if way == "place":
        return Reading(balanced(images * image.positions, most, ROWS), None, way, kind.itemsize)
    if plane <= most:
        some = balanced(planes, most // plane, 1)
        cut = Cut(planes * plane, some.blocks, some.tile * plane)
        sizes = some.tile, high.out, wide.out
    elif wide.out <= most:
        some = balanced(high.out, most // wide.out, 1)
        cut = Cut(plane, some.blocks, some.tile * wide.out, planes)
        sizes = 1, some.tile, wide.out
    else:
        some = balanced(wide.out, most, ROWS)
        cut = Cut(wide.out, some.blocks, some.tile, planes * high.out)
        sizes = 1, 1, some.tile
    channels = ceil_div(depth, larger(1, image.taps)) + 1
    lines = Lines(sizes[0], channels, deep.taps, high.span(sizes[1]), wide.span(sizes[2]),
                  kind.itemsize)
    if lines.bytes > MOST_LINES and most > FEW:
        return _reading(image, images, depth, kind, most // 2)
    return Reading(cut, lines, way, kind.itemsize)


def _image_operand(image: Image, reading: Reading, positions_are_k: bool) -> Left:
    element = "float" if reading.itemsize == 4 else "double"
    return Left(read_image(element, reading.way),
                image_words(image, positions_are_k, reading.lines),
                reading.lines.bytes if reading.lines else 0, image.taps + 8)


def _positions(g: View, c: Contraction) -> Right:
    """g as B: k = (image, position), a column for each channel."""
    image, channel = (s * g.itemsize for s in g.strides[:2])
    panel = c.k.tile * PANEL_BYTES
    words = Matrix(g.ref, channel, g.itemsize, prod(g.shape[2:]), image,
                   ((c.batches, c.n.total * channel),)).words(panel)
    size = ceil_div(c.n.tile, columns_of(c.kind)) * panel + 4 * PANEL_BYTES
    return Right(pack_transpose(g.dtype.llvm), words, panel, PANEL_BYTES, size)


def _over_positions(out: View, x: View, image: Image, w: View, temp: Temp,
                    epilogue: Epilogue | None, note: str) -> list[Call]:
    """out[n, o, *p] = sum over (c, taps) of w[group, o, c, taps] * image at (n, p, taps)."""
    if prod(out.shape) == 0:
        return []
    (groups, outputs), images = w.shape[:2], x.shape[0]
    kind, result = x.dtype, _finish_image(x.dtype, out, groups, epilogue)
    seen, weights = upright(image, _weights(w))
    made = _by_channels(out, x, image, w, temp, epilogue, note)
    if made is not None:
        return made
    if plan := direct(seen, w.shape[2], outputs, kind.itemsize):
        return [over_planes(plan, weights, images, groups, kind, result, note)]
    if suits(seen, w.shape[2], outputs, images, groups, kind):
        before = []
        if not are_near(weights, way_of(seen)):
            seen, weights = upright(image, _weights(packed(before, kind, w, temp)))
        seen = _adjacent_channels(before, x, seen, temp)
        return before + winograd(seen, weights, w.shape[2], outputs, images, result, temp, note)
    depth, before = _channel_blocks(image, w.shape[2], BLOCK_K), []
    plenty = images * image.positions * groups * ceil_div(outputs, WIDE) // PLENTY
    reading = _reading(image, images, depth.tile, kind, larger(FEW, smaller(POSITIONS, plenty)))
    if _suits_rows(image, outputs, depth, reading):
        columns = cut_columns(kind, groups * reading.cut.pieces, outputs)
        c = Contraction(kind, groups, reading.cut, columns, depth, turned=True)
        right = _weights_as_panels(before, c, w, temp)
        left = _image_operand(image, reading, False)
        return before + contract(c, left, right, result, temp, note)
    rows = balanced(outputs, BLOCK_ROWS, ROWS)
    panels = MOST_PANELS if outputs * depth.total < LITTLE else PANELS
    columns = cut_columns(kind, groups * rows.pieces, images * image.positions, panels)
    c = Contraction(kind, groups, rows, columns, balanced(depth.total, BLOCK_K, 16))
    left = _weights_as_rows(before, w, temp)
    return before + contract(c, left, _patch_panels(image, c), result, temp, note)


def _by_channels(out: View, x: View, image: Image, w: View, temp: Temp, epilogue: Epilogue | None,
                 note: str, spread: tuple[int, int] = (1, 1)) -> list[Call] | None:
    """A depthwise convolution with channels in lanes; None if it does not suit."""
    groups, outputs, inner = w.shape[:3]
    seen, weights = upright(image, _weights(w))
    if outputs != 1 or inner != 1 or spread == (1, 1) and is_wide(seen) \
            or plan_of(seen, groups, x.dtype, spread) is None:
        return None
    before: list[Call] = []
    if tap_step(weights, seen) is None:
        _, weights = upright(image, _weights(packed(before, x.dtype, w, temp)))
    plan = plan_of(_adjacent_channels(before, x, seen, temp), groups, x.dtype, spread)
    result = _finish_image(x.dtype, out, 1, epilogue)
    return [*before, over_channels(plan, weights, x.shape[0], result, note)]


def _adjacent_channels(before: list[Call], x: View, image: Image, temp: Temp) -> Image:
    """The image of x, of a copy if neither channels nor columns are neighbours in memory."""
    if 1 in (x.strides[1], x.strides[-1]):
        return image
    x = packed(before, x.dtype, x, temp)
    n, channel, *inner = (s * x.itemsize for s in x.strides)
    strides = (0, 0, *inner)[-3:]
    along = tuple(a._replace(stride=s) for a, s in zip(image.along, strides, strict=True))
    return Image(x.ref, image.group, n, channel, along)


def _weights(w: View) -> Weights:
    """w [group, output, channel, *taps] in bytes."""
    deep, *taps = (0, 0, 0, *w.strides[3:])[-3:]
    strides = tuple(s * w.itemsize for s in (*w.strides[:3], *taps))
    return Weights(w.ref, strides, deep * w.itemsize)


def _suits_rows(image: Image, outputs: int, depth: Cut, reading: Reading) -> bool:
    """Whether positions should be rows: outputs fill vectors, taps share what is read, it fits."""
    full = outputs * reading.itemsize >= PANEL_BYTES // 2 and depth.total >= LEAST_DEPTH
    return full and reading.fits and (image.taps > 1 or image.along[W].move > 1)


def _patch_panels(image: Image, c: Contraction) -> Right:
    """Patches as B: k = (channel, taps), a column for each position."""
    panel = c.k.tile * PANEL_BYTES
    code = pack_patches(c.kind.llvm, patch_way(image, c.kind.itemsize))
    return Right(code, patch_words(image, panel), panel, PANEL_BYTES,
                 ceil_div(c.n.tile, columns_of(c.kind)) * panel)


def _finish_image(kind: dtype, out: View, groups: int, epilogue: Epilogue | None) -> Finisher:
    views = [out] if epilogue is None else [*epilogue.inputs, *epilogue.outputs]
    channels = out.shape[1] // groups
    columns = merged((out.shape[0], *out.shape[2:]),
                     [(v.strides[0], *v.strides[2:]) for v in views])
    sizes = Grid((groups,), channels, tuple(n for n, _ in columns[:-1]), columns[-1][0])
    grids = [(v, Grid((channels * v.strides[1],), v.strides[1],
                      tuple(s[i] for _, s in columns[:-1]), columns[-1][1][i]))
             for i, v in enumerate(views)]
    body, inputs = (None, 0) if epilogue is None else (epilogue.body, len(epilogue.inputs))
    return finisher(sizes, kind, body, grids, inputs)


def _note(what: str, x: View, w: View, stride, padding) -> str:
    sizes = times(x.shape), times(w.shape)
    return f"{what} {x.dtype.name} {sizes[0]} {sizes[1]} s{stride[-1]} p{padding[-1]}"
