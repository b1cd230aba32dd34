"""Resizing of images, shuffling of pixels and channels, sampling at given points."""
from __future__ import annotations

import functools
import math
import warnings

from ... import dtypes, ops
from ...autograd.function import differentiable
from ...autograd.node import named
from ...autograd.recall import lasting, recalled
from ...errors import warn_once
from ...ops.formats import keeps_format, like_images, order_of
from ...ops.support import refuse
from ...tensor import Tensor
from .pools import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

_RANK = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}
_KERNELS = {"linear": "compute_indices_weights_linear", "bilinear": "upsample_bilinear2d_channels_last",
            "bicubic": "compute_indices_weights_cubic", "trilinear": "compute_indices_weights_linear"}


@recalled("input")
def interpolate(input: Tensor, size=None, scale_factor=None, mode: str = "nearest",
                align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
                antialias: bool = False) -> Tensor:
    """Resize the spatial axes to `size`, or by `scale_factor`.

    Modes: nearest, nearest-exact, linear (N, C, L), bilinear and bicubic (N, C, H, W), trilinear
    (N, C, D, H, W), area. `align_corners` keeps the corner pixels in place. With `antialias`
    bilinear, bicubic and lanczos average over what one output pixel covers.
    """
    _check_mode(mode, align_corners)
    spatial = input.dim() - 2
    sizes, scales = _target(input, size, scale_factor, spatial)
    if recompute_scale_factor:
        if size is not None:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        scales = None
    if antialias and not (mode in _FILTERS and input.dim() == 4):
        raise ValueError("Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D "
                         "tensor as input")
    if mode == "lanczos" and align_corners:
        raise ValueError("Lanczos mode does not support align_corners=True")
    if mode == "lanczos" and not antialias:
        raise ValueError("Lanczos mode requires antialias=True")
    if antialias:
        y = _antialiased(input, sizes, scales or [None, None], mode, bool(align_corners))
        return _resized(y, input, mode, "2DAa")
    _check_rank(input, mode)
    if mode == "area":
        pool = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[spatial - 1]
        return pool(input, sizes)
    axes = list(zip(sizes, scales or [None] * spatial))
    if mode in _KERNELS and not input.dtype.is_floating_point:
        if input.dtype is not dtypes.uint8 or spatial != 2:
            refuse(_KERNELS[mode], input.dtype)
        return _resized(_rounded(input, axes, mode, bool(align_corners)), input, mode, f"{spatial}D")
    return _resized(_each_axis(input, axes, mode, bool(align_corners)), input, mode, f"{spatial}D")


def _each_axis(input, axes, mode, align):
    """One spatial axis after another, of the image as it lies in memory; the input itself if nothing is to be done."""
    order = order_of(input.layout) or tuple(range(input.dim()))
    lying = y = input if order == tuple(range(input.dim())) else input.permute(order)
    for d, (to, scale) in enumerate(axes):
        y = _resize_axis(y, order.index(2 + d), to, scale, mode, align)
    if y is lying:
        return input
    return y if lying is input else y.permute([order.index(d) for d in range(y.dim())])


def _resized(y, input, mode, kind):
    """y, never the input itself, with PyTorch's name on the tape."""
    name = f"Upsample{mode.title().replace('-', '')}{kind}Backward0"
    return like_images(named(y.clone() if y is input else y, name), input)


def _check_mode(mode, align_corners):
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError("align_corners option can only be set with the interpolating modes: "
                         "linear | bilinear | bicubic | trilinear")


def _target(input, size, scale_factor, spatial):
    """(sizes, scale factors or None) of the spatial axes."""
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if size is not None:
        return _per_axis("size", size, input, spatial), None
    scales = _per_axis("scale_factor", scale_factor, input, spatial)
    sizes = [math.floor(float(n) * s) for n, s in zip(input.shape[2:], scales)]
    return sizes, [float(s) for s in scales]


def _per_axis(name, given, input, spatial):
    if not isinstance(given, (list, tuple)):
        return [given] * spatial
    if len(given) != spatial:
        what = "output size" if name == "size" else "scale_factor"
        form = ("output size in (o1, o2, ...,oK)" if name == "size"
                else "scale_factor in (s1, s2, ...,sK)")
        raise ValueError("Input and " + what
                         + " must have the same number of spatial dimensions, but got input with "
                         f"spatial dimensions of {list(input.shape[2:])} and {what} of "
                         f"{'' if name == 'size' else 'shape '}{given}. "
                         f"Please provide input tensor in (N, C, d1, d2, ...,dK) format and {form} "
                         "format.")
    return list(given)


def _check_rank(input, mode):
    if mode in ("nearest", "nearest-exact", "area"):
        if input.dim() not in (3, 4, 5):
            raise NotImplementedError("Input Error: Only 3D, 4D and 5D input Tensors supported "
                                      f"(got {input.dim()}D) for the modes: nearest | linear | "
                                      "bilinear | bicubic | trilinear | area | nearest-exact (got "
                                      f"{mode})")
    elif mode not in _RANK:
        raise NotImplementedError("Input Error: Only 3D, 4D and 5D input Tensors supported (got "
                                  f"{input.dim()}D) for the modes: nearest | linear | bilinear | "
                                  f"bicubic | trilinear | area | nearest-exact (got {mode})")
    elif input.dim() != _RANK[mode]:
        raise NotImplementedError(f"Got {input.dim()}D input, but {mode} mode needs {_RANK[mode]}D "
                                  "input")


def _resize_axis(x, dim, to, scale, mode, align):
    n = x.size(dim)
    if mode == "nearest" and to == n or mode != "bicubic" and to == n and scale in (None, 1.0):
        return x
    if mode.startswith("nearest"):
        return _nearest(x, dim, n, to, scale, 0.5 if mode == "nearest-exact" else 0.0)
    return _weighted(x, dim, _taps(n, to, scale, align, mode == "bicubic", x.dtype))


def _nearest(x, dim, n, to, scale, shift):
    if to % n == 0 and scale in (None, to / n):         # each element is repeated
        shape = [*x.shape[:dim], n, to // n, *x.shape[dim + 1:]]
        return x.unsqueeze(dim + 1).expand(shape).reshape(*x.shape[:dim], to, *x.shape[dim + 1:])
    return x.index_select(dim, *_nearest_index(n, to, scale, shift))


@lasting
def _nearest_index(n, to, scale, shift):
    step = _single(1 / scale if scale else n / to)
    index = [min(int(_single(_single(i + shift) * step)), n - 1) for i in range(to)]
    return [ops.tensor(index, dtype=dtypes.int64)]


def _single(value):
    """Rounded to float32: indices are computed in float32, which decides ties."""
    import numpy as np
    return float(np.float32(value))


def _places(n, to, scale, align):
    """Where the centre of each output element lies among the input elements."""
    if align:
        step = (n - 1) / (to - 1) if to > 1 else 0.0
        return [i * step for i in range(to)]
    step = 1 / scale if scale else n / to
    return [(i + 0.5) * step - 0.5 for i in range(to)]


def _linear_taps(p, n):
    i = min(int(p), n - 1)
    return [(i, 1 - (p - i)), (min(i + 1, n - 1), p - i)]


def _cubic_taps(p, n, a=-0.75):
    i = math.floor(p)
    t = p - i
    near = lambda s: ((a + 2) * s - (a + 3)) * s * s + 1
    far = lambda s: ((a * s - 5 * a) * s + 8 * a) * s - 4 * a
    weights = (far(t + 1), near(t), near(1 - t), far(2 - t))
    return [(min(max(i - 1 + k, 0), n - 1), w) for k, w in enumerate(weights)]


# Half widths of the filters, and their values at a distance of x pixels.
_FILTERS = {"bilinear": 1, "bicubic": 2, "lanczos": 3}


def _filter(mode, x):
    x = abs(x)
    if x >= _FILTERS[mode]:
        return 0.0
    if mode == "bilinear":
        return 1 - x
    if mode == "lanczos":
        return _sinc(x) * _sinc(x / 3)
    a = -0.5
    return ((a + 2) * x - (a + 3)) * x * x + 1 if x < 1 else ((a * x - 5 * a) * x + 8 * a) * x - 4 * a


def _sinc(x):
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


def _rounded(x, axes, mode, align):
    """Bytes are resized along the width, rounded, then along the height, as those of pictures are."""
    for d in (1, 0):
        n, (to, scale) = x.shape[2 + d], axes[d]
        if to != n:
            x = _bytes(x, 2 + d, _taps(n, to, scale, align, mode == "bicubic", x.dtype))
    return x


def _bytes(x, dim, table):
    """Exact in float32: weights of `_table` for bytes have 15 bits. Halves are rounded up."""
    y = _weighted(x.to(dtypes.float32), dim, table)
    return (y + 0.5).floor().clamp(0, 255).to(dtypes.uint8)


def _antialiased(x, sizes, scales, mode, align):
    """Width, then height: the filter stretched over as many elements as an output one covers."""
    if not (x.dtype.is_floating_point or x.dtype is dtypes.uint8):
        refuse("compute_index_ranges_weights", x.dtype)
    for d in (1, 0):
        n, to = x.shape[2 + d], sizes[d]
        if to != n:
            table = _averaging(n, to, scales[d], mode, align, x.dtype)
            x = (_bytes if x.dtype is dtypes.uint8 else _weighted)(x, 2 + d, table)
    return x


def _averaging_taps(n, to, scale, mode, align):
    """taps[i] lists (index, weight) of output element i; all lists are of one length."""
    step = ((n - 1) / (to - 1) if to > 1 else 0.0) if align else 1 / scale if scale else n / to
    wide = max(step, 1.0)
    reach, taps = _FILTERS[mode] * wide, []
    for i in range(to):
        centre = step * (i + 0.5)
        low = max(int(centre - reach + 0.5), 0)
        high = max(min(int(centre + reach + 0.5), n), low + 1)
        weights = [_filter(mode, (j - centre + 0.5) / wide) for j in range(low, high)]
        total = sum(weights) or 1.0
        taps.append([(j, w / total) for j, w in zip(range(low, high), weights)])
    longest = max(map(len, taps))
    return [t + [(t[-1][0], 0.0)] * (longest - len(t)) for t in taps]


@lasting
def _taps(n, to, scale, align, is_cubic, dtype):
    places = _places(n, to, scale, align)
    return _table([_cubic_taps(p, n) if is_cubic else _linear_taps(max(p, 0.0), n) for p in places], dtype)


@lasting
def _averaging(n, to, scale, mode, align, dtype):
    return _table(_averaging_taps(n, to, scale, mode, align), dtype)


def _table(taps, dtype):
    """An index and a weight for each tap, one after another; for bytes weights of fixed point."""
    table = []
    if dtype is dtypes.uint8:
        taps, dtype = _fixed(taps), dtypes.float32
    for tap in zip(*taps):
        table += [ops.tensor([i for i, _ in tap], dtype=dtypes.int64), ops.tensor([w for _, w in tap], dtype=dtype)]
    return table


def _fixed(taps):
    """Weights as multiples of the smallest power of two that the largest has 15 bits of."""
    largest = max(w for tap in taps for _, w in tap)
    unit = 2.0 ** next(bits for bits in range(23) if bits == 22 or int(0.5 + largest * 2 ** (bits + 1)) >= 1 << 15)
    return [[(i, math.trunc(w * unit + math.copysign(0.5, w)) / unit) for i, w in tap] for tap in taps]


def _weighted(x, dim, table):
    """Each output element is a weighted sum of input elements."""
    shape = [1] * x.dim()
    shape[dim] = -1
    parts = [x.index_select(dim, index) * weight.reshape(shape)
             for index, weight in zip(table[::2], table[1::2])]
    return sum(parts[1:], parts[0])


_INSTEAD = "Use `nn.functional.interpolate` instead."


@recalled("input")
def upsample(input: Tensor, size=None, scale_factor=None, mode: str = "nearest",
             align_corners: bool | None = None) -> Tensor:
    """The old name of `interpolate`."""
    warnings.warn(f"`nn.functional.upsample` is deprecated. {_INSTEAD}",
                  stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


@recalled("input")
def upsample_nearest(input: Tensor, size=None, scale_factor=None) -> Tensor:
    """`interpolate` in mode 'nearest'."""
    warnings.warn(f"`nn.functional.upsample_nearest` is deprecated. {_INSTEAD}",
                  stacklevel=2)
    return interpolate(input, size, scale_factor, mode="nearest")


@recalled("input")
def upsample_bilinear(input: Tensor, size=None, scale_factor=None) -> Tensor:
    """`interpolate` in mode 'bilinear' with aligned corners."""
    warnings.warn(f"`nn.functional.upsample_bilinear` is deprecated. {_INSTEAD}",
                  stacklevel=2)
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


# -- shuffles --------------------------------------------------------------------------------------
@recalled("input")
@keeps_format
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(*, C r^2, H, W) to (*, C, H r, W r)."""
    if input.dim() < 3:
        raise RuntimeError("pixel_shuffle expects input to have at least 3 dimensions, but got "
                           f"input with {input.dim()} dimension(s)")
    if upscale_factor <= 0:
        raise RuntimeError("pixel_shuffle expects a positive upscale_factor, but got "
                           f"{upscale_factor}")
    *lead, channels, h, w = input.shape
    r = upscale_factor
    if channels % (r * r):
        raise RuntimeError("pixel_shuffle expects its input's 'channel' dimension to be divisible "
                           f"by the square of upscale_factor, but input.size(-3)={channels} is not "
                           f"divisible by {r * r}")
    if r == 1:
        return input.clone()
    n = len(lead)
    y = input.reshape(*lead, channels // (r * r), r, r, h, w)
    y = y.permute(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return named(y.reshape(*lead, channels // (r * r), h * r, w * r), "PixelShuffleBackward0")


@recalled("input")
@keeps_format
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(*, C, H r, W r) to (*, C r^2, H, W)."""
    if input.dim() < 3:
        raise RuntimeError("pixel_unshuffle expects input to have at least 3 dimensions, but got "
                           f"input with {input.dim()} dimension(s)")
    if downscale_factor <= 0:
        raise RuntimeError("pixel_unshuffle expects a positive downscale_factor, but got "
                           f"{downscale_factor}")
    *lead, channels, h, w = input.shape
    r = downscale_factor
    for name, size, dim in (("height", h, -2), ("width", w, -1)):
        if size % r:
            raise RuntimeError(f"pixel_unshuffle expects {name} to be divisible by "
                               "downscale_factor, but "
                               f"input.size({dim})={size} is not divisible by {r}")
    if r == 1:
        return input.clone()
    n = len(lead)
    y = input.reshape(*lead, channels, h // r, r, w // r, r)
    y = y.permute(*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return named(y.reshape(*lead, channels * r * r, h // r, w // r), "PixelUnshuffleBackward0")


@recalled("input")
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Interleave the channels (axis 1) of `groups` groups."""
    if input.dim() < 3:
        raise RuntimeError("channel_shuffle expects input with > 2 dims, but got input with sizes "
                           f"{list(input.shape)}")
    n, channels = input.shape[:2]
    if groups <= 0:
        raise RuntimeError("Number of groups to divide channels in must be positive. Value of "
                           f"groups:{groups}")
    if channels % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {channels} "
                           f"channels and {groups} groups.")
    grouped = input.reshape(n, groups, channels // groups, *input.shape[2:])
    return named(grouped.transpose(1, 2).reshape(input.shape), "ChannelShuffleBackward0")


# -- sampling at points ----------------------------------------------------------------------------
def _warn_of_default(align_corners) -> None:
    if align_corners is None:
        warn_once("Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0.")


@recalled("theta")
def affine_grid(theta: Tensor, size, align_corners: bool | None = None) -> Tensor:
    """Sampling points of an affine map.

    (N, 2, 3) to (N, H, W, 2), or (N, 3, 4) to (N, D, H, W, 3).
    """
    _warn_of_default(align_corners)
    sizes = list(size)
    if len(sizes) not in (4, 5):
        raise NotImplementedError("affine_grid only supports 4D and 5D sizes, for 2D and 3D "
                                  f"affine transforms, respectively. Got size {size}.")
    if min(sizes) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    n = len(sizes) - 2
    if theta.dim() != 3 or tuple(theta.shape[1:]) != (n, n + 1):
        raise ValueError(f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for "
                         f"size {size}. Got {theta.shape}.")
    axes = []
    for d, m in enumerate(reversed(sizes[2:])):
        step = (ops.linspace(-1, 1, m, dtype=theta.dtype) if m > 1
                else ops.zeros(1, dtype=theta.dtype))
        step = step if align_corners else step * (m - 1) / m     # in this order, as points lie on pixels' borders
        axes.append(step.reshape([m if k == n - 1 - d else 1 for k in range(n)]).expand(sizes[2:]))
    base = ops.stack([*axes, ops.ones(sizes[2:], dtype=theta.dtype)], -1)
    points = ops.matmul(base.reshape(1, -1, n + 1), theta.mT).reshape(sizes[0], *sizes[2:], n)
    return named(points, "AffineGridGeneratorBackward0")


@recalled("input grid")
def grid_sample(input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
                align_corners: bool | None = None) -> Tensor:
    """Values of the image at the points of `grid`, whose coordinates run from -1 to 1.

    (N, C, H, W) with a grid (N, H', W', 2) of (x, y), or (N, C, D, H, W) with (N, D', H', W', 3).
    """
    _warn_of_default(align_corners)
    _check_grid(input, grid, mode, padding_mode)
    n = input.dim() - 2
    sizes = list(reversed(input.shape[2:]))         # x first, as in the grid
    points = [_unnormalised(grid[..., d], m, align_corners) for d, m in enumerate(sizes)]
    if mode == "bicubic":
        at = [_cubic_neighbours(p, m, padding_mode, align_corners) for p, m in zip(points, sizes)]
        return named(_sampled(input, at), "GridSampler2DBackward0")
    points = [_bounded(p, m, padding_mode, align_corners) for p, m in zip(points, sizes)]
    neighbours = _nearest_neighbour if mode == "nearest" else _linear_neighbours
    return named(_sampled(input, [neighbours(p, m) for p, m in zip(points, sizes)]), f"GridSampler{n}DBackward0")


def _check_grid(input, grid, mode, padding_mode):
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError("nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' "
                         f"or 'bicubic', but got: '{mode}'")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError("nn.functional.grid_sample(): expected padding_mode to be 'zeros', "
                         f"'border', or 'reflection', but got: '{padding_mode}'")
    if input.dim() not in (4, 5) or grid.dim() != input.dim():
        raise RuntimeError("grid_sampler(): expected 4D or 5D input and grid with same number of "
                           f"dimensions, but got input with sizes {list(input.shape)} and grid "
                           f"with sizes {list(grid.shape)}")
    if input.size(0) != grid.size(0):
        raise RuntimeError("grid_sampler(): expected grid and input to have same batch size, but "
                           "got input with sizes "
                           f"{list(input.shape)} and grid with sizes {list(grid.shape)}")
    if grid.size(-1) != input.dim() - 2:
        raise RuntimeError(f"grid_sampler(): expected grid to have size {input.dim() - 2} in last "
                           f"dimension, but got grid with sizes {list(grid.shape)}")


def _unnormalised(x, m, align):
    return (x + 1) / 2 * (m - 1) if align else ((x + 1) * m - 1) / 2


def _bounded(x, m, padding_mode, align):
    if padding_mode == "reflection":
        low, span = (0.0, m - 1) if align else (-0.5, m)
        x = _reflection(x, low, span)
    return x if padding_mode == "zeros" else x.clamp(0, m - 1)


def _reflection(x, low, span):
    """Fold the line at both ends of [low, low + span]."""
    if span == 0:
        return ops.zeros_like(x)
    x = (x - low).abs()
    turns = ops.floor(x / span).detach()
    rest = x - turns * span
    return ops.where(ops.fmod(turns, 2) == 0, rest + low, span - rest + low)


def _nearest_neighbour(x, m):
    i = ops.round(x.detach())
    return [(i, (i >= 0) & (i <= m - 1), m, None)]


def _linear_neighbours(x, m):
    i = ops.floor(x.detach())
    inside = lambda j: (j >= 0) & (j <= m - 1)
    return [(i, inside(i), m, i + 1 - x), (i + 1, inside(i + 1), m, x - i)]


def _cubic_neighbours(x, m, padding_mode, align, a=-0.75):
    i = ops.floor(x.detach())
    t = x - i
    near = lambda s: ((a + 2) * s - (a + 3)) * s * s + 1
    far = lambda s: ((a * s - 5 * a) * s + 8 * a) * s - 4 * a
    out = []
    for k, w in enumerate((far(t + 1), near(t), near(1 - t), far(2 - t))):
        j = _bounded(i + (k - 1), m, padding_mode, align)
        out.append((j, (j >= 0) & (j <= m - 1), m, w))
    return out


def _sampled(image, neighbours):
    """Sum of products of weights and gathered values over all combinations of neighbours, a list of them for each axis."""
    weights, places, stride = [], [], 1
    for axis in neighbours:
        for index, inside, m, w in axis:
            keep = inside.to(image.dtype)
            weights.append(keep if w is None else keep * w.to(image.dtype))
            places.append(index.clamp(0, m - 1).to(dtypes.int64) * stride)
        stride *= m
    flat = image.flatten(2)
    return _blend(tuple(map(len, neighbours)))(flat, *weights, *places, size=tuple(flat.shape))


@functools.cache
def _blend(counts):
    """The sum over all combinations as one operation of (image, *weights, *places), so many of them for each axis."""
    total, starts = sum(counts), [sum(counts[:d]) for d in range(len(counts))]
    corners = _combinations([range(start, start + count) for start, count in zip(starts, counts, strict=True)])
    weight = lambda xs, corner: functools.reduce(lambda a, b: a * b, [xs[1 + k] for k in corner])
    place = lambda xs, corner: functools.reduce(lambda a, b: a + b, [xs[1 + total + k] for k in corner])

    def blend(*xs, size):
        parts = [_gathered(xs[0], place(xs, c)) * weight(xs, c).unsqueeze(1) for c in corners]
        return functools.reduce(lambda a, b: a + b, parts)

    def of_image(g, _y, *xs, size):
        y = ops.zeros(size, dtype=g.dtype)
        for c in corners:
            y = y.scatter_add(2, _across(place(xs, c), size[1]), (g * weight(xs, c).unsqueeze(1)).flatten(2))
        return y

    def of_weight(k):
        def rule(g, _y, *xs, size):
            terms = [((g * _gathered(xs[0], place(xs, c))).sum(1), [j for j in c if j != k]) for c in corners if k in c]
            return functools.reduce(lambda a, b: a + b, [x * weight(xs, others) if others else x for x, others in terms])
        rule.uses = frozenset(range(1, 2 + 2 * total))
        return rule
    of_image.uses = frozenset(range(2, 2 + 2 * total))
    rules = (of_image, *map(of_weight, range(total)), *[None] * total)
    return differentiable("GridSamplerBackward0", vjp=rules)(blend)


def _combinations(lists):
    if not lists:
        return [()]
    rest = _combinations(lists[1:])
    return [(first, *others) for first in lists[0] for others in rest]


def _across(place, channels):
    """The same places for each channel."""
    return place.reshape(place.size(0), 1, -1).expand(-1, channels, -1)


def _gathered(flat, place):
    return flat.gather(2, _across(place, flat.size(1))).reshape(*flat.shape[:2], *place.shape[1:])
