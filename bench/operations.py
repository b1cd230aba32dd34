"""The operation table: what the sweep times, room by room; bench/corners.py has more rooms.

A case is (name, inputs, function of torch and the inputs). An input is a shape (float32 in [-1, 1)),
an Index (int64), or an Of (another dtype). Sizes are such that PyTorch takes over 100 us.
"""
from __future__ import annotations

from . import corners
from .table import IMAGE, MAPS, Case, Index, Of, fn

UNARY = ("exp exp2 expm1 tanh sigmoid sin cos tan asin acos atan sinh cosh asinh erf erfc relu abs neg square "
         "reciprocal sinc")
POSITIVE = "log log2 log10 log1p sqrt rsqrt acosh lgamma digamma erfinv"
STEPS = "floor ceil round trunc sign isnan isfinite signbit"
BINARY = "add sub mul div maximum minimum atan2 pow fmod remainder hypot copysign logaddexp"
COMPARE = "lt eq ge logical_and"
INTEGER = "add mul bitwise_and bitwise_xor floor_divide remainder maximum eq"
ACTIVATIONS = "relu relu6 gelu silu mish softplus elu selu leaky_relu hardswish hardsigmoid softsign logsigmoid tanhshrink"
REDUCTIONS = "sum mean amax amin prod var std logsumexp argmax"
SCANS = "cumsum cumprod logcumsumexp"
LOWER = {"acosh": 1.5, "lgamma": 0.5, "digamma": 0.5}


def all_cases() -> list[Case]:
    return [case for room in (*ROOMS, *corners.ROOMS) for case in room()]


def pointwise():
    for name in UNARY.split():
        yield Case(name, (IMAGE,), lambda t, x, n=name: getattr(t, n)(x))
    for name in POSITIVE.split():
        low = LOWER.get(name, 0.0)
        yield Case(name, (IMAGE,), lambda t, x, n=name, low=low: getattr(t, n)(x.abs() * 0.9 + low))
    for name in STEPS.split():
        yield Case(name, (IMAGE,), lambda t, x, n=name: getattr(t, n)(x), False)
    for name in BINARY.split():
        yield Case(name, (IMAGE, IMAGE), lambda t, x, y, n=name: getattr(t, n)(x.abs() if n == "pow" else x, y))
    for name in COMPARE.split():
        yield Case(name, (IMAGE, IMAGE), lambda t, x, y, n=name: getattr(t, n)(x, y), False)
    for name in ACTIVATIONS.split():
        yield Case(name, (IMAGE,), lambda t, x, n=name: getattr(fn(t), n)(x))
    yield Case("gelu, tanh", (IMAGE,), lambda t, x: fn(t).gelu(x, approximate="tanh"))
    yield Case("glu", (IMAGE,), lambda t, x: fn(t).glu(x))
    yield Case("pow 3", (IMAGE,), lambda t, x: x ** 3)
    yield Case("pow 2.5", (IMAGE,), lambda t, x: x.abs() ** 2.5)
    yield Case("where", (IMAGE, IMAGE), lambda t, x, y: t.where(x > 0, x, y))
    yield Case("clamp", (IMAGE,), lambda t, x: x.clamp(-0.5, 0.5))
    yield Case("lerp", (IMAGE, IMAGE), lambda t, x, y: t.lerp(x, y, 0.3))
    yield Case("addcmul", (IMAGE,) * 3, lambda t, x, y, z: t.addcmul(x, y, z, value=0.5))
    yield Case("addcdiv", (IMAGE,) * 3, lambda t, x, y, z: t.addcdiv(x, y, z + 3, value=0.5))
    yield Case("nan_to_num", (IMAGE,), lambda t, x: t.nan_to_num(x))


def dtypes():
    for name in ("float64", "float16", "bfloat16", "int32", "int64", "uint8", "bool"):
        yield Case(f"to {name}", (IMAGE,),
                   lambda t, x, n=name: x.to(getattr(t, n)), name.startswith(("f", "b")) and name != "bool")
    yield Case("to float32, from int64", (Of(IMAGE, "int64"),), lambda t, x: x.float(), False)
    yield Case("to float32, from uint8", (Index(IMAGE, 200),), lambda t, x: x.byte().float() / 255, False)
    for name in INTEGER.split():
        yield Case(f"{name}, int64", (Of(IMAGE, "int64"), Index(IMAGE, 9)),
                   lambda t, x, y, n=name: getattr(t, n)(x, y + 1), False)
    for name in ("add", "mul", "floor_divide", "maximum"):
        yield Case(f"{name}, int32", (Of(IMAGE, "int32"), Of(IMAGE, "int32")),
                   lambda t, x, y, n=name: getattr(t, n)(x, y.abs() + 1), False)
    for name in ("add", "exp", "tanh", "log1p", "sin", "erf"):
        yield Case(f"{name}, float64", (Of(IMAGE, "float64"),),
                   lambda t, x, n=name: t.add(x, 1) if n == "add" else getattr(t, n)(x.abs() * 0.02))
    for name in ("add", "exp", "gelu", "softmax", "layer_norm", "sum"):
        yield Case(f"{name}, bfloat16", (Of(IMAGE, "bfloat16"),), lambda t, x, n=name: half_case(t, x * 0.01, n))
    for name in ("sum", "amax", "argmax", "cumsum"):
        yield Case(f"{name}, int64", (Of(IMAGE, "int64"),), lambda t, x, n=name: reduced(t, n, x, 1), False)
        yield Case(f"{name}, float64", (Of(IMAGE, "float64"),), lambda t, x, n=name: reduced(t, n, x, 1), False)
    yield Case("sort, int64", (Of(IMAGE, "int64"),), lambda t, x: x.sort(1)[0], False)
    yield Case("any, bool", (IMAGE,), lambda t, x: (x > 0.999).any(1), False)
    yield Case("all, bool", (IMAGE,), lambda t, x: (x > -1).all(), False)
    yield Case("sum of bools", (IMAGE,), lambda t, x: (x > 0).sum(), False)
    yield Case("logical_not", (IMAGE,), lambda t, x: ~(x > 0), False)


def half_case(t, x, name):
    calls = {"add": lambda: x + 1, "exp": lambda: x.exp(), "gelu": lambda: fn(t).gelu(x), "softmax": lambda: x.softmax(1),
             "layer_norm": lambda: fn(t).layer_norm(x, x.shape[1:]), "sum": lambda: x.sum(1)}
    return calls[name]()


def reduced(t, name, x, dim):
    made = getattr(t, name)(x, dim)
    return made[0] if isinstance(made, tuple) else made


def broadcasting():
    yield Case("add, row broadcast", (IMAGE, (1024,)), lambda t, x, y: x + y)
    yield Case("add, column broadcast", (IMAGE, (1024, 1)), lambda t, x, y: x + y)
    yield Case("add, channel broadcast", (MAPS, (64, 1, 1)), lambda t, x, y: x + y)
    yield Case("mul, middle broadcast", ((64, 64, 256), (64, 1, 256)), lambda t, x, y: x * y)
    yield Case("sub, outer", ((1024, 1), (1024,)), lambda t, x, y: x - y)
    yield Case("add, transposed", (IMAGE, IMAGE), lambda t, x, y: x + y.t())
    yield Case("mul, both transposed", (IMAGE, IMAGE), lambda t, x, y: x.t() * y.t())
    yield Case("exp, strided", ((1024, 2048),), lambda t, x: x[:, ::2].exp())
    yield Case("add, channels last", (MAPS, MAPS), lambda t, x, y: x.permute(0, 2, 3, 1) + y.permute(0, 2, 3, 1))
    yield Case("add, short rows", ((262144, 4), (4,)), lambda t, x, y: x + y)
    yield Case("mul by a number", (IMAGE,), lambda t, x: x * 1.5)
    yield Case("add_", (IMAGE, IMAGE), lambda t, x, y: x.clone().add_(y), False)
    yield Case("mul_ of a slice", (IMAGE,), lambda t, x: x.clone()[:, 8:512].mul_(2.0), False)
    yield Case("x[:, a:b] = y", (IMAGE, (1024, 512)), lambda t, x, y: assign(x.clone(), y), False)
    yield Case("x[mask] = 0", (IMAGE,), lambda t, x: masked(x.clone()), False)


def assign(x, y):
    x[:, 100:612] = y
    return x


def masked(x):
    x[x > 0.5] = 0.0
    return x


def reductions():
    for name in REDUCTIONS.split():
        for dim in (0, 1):
            yield Case(f"{name}, axis {dim}", (IMAGE,), lambda t, x, n=name, d=dim: getattr(t, n)(x, d), name != "argmax")
        if name != "logsumexp":
            yield Case(f"{name}, all", (IMAGE,), lambda t, x, n=name: getattr(t, n)(x), name != "argmax")
        yield Case(f"{name}, middle axis", ((64, 256, 64),), lambda t, x, n=name: getattr(t, n)(x, 1), name != "argmax")
    yield Case("sum, all of 4M", ((4096, 1024),), lambda t, x: x.sum())
    yield Case("sum, two axes", (MAPS,), lambda t, x: x.sum((0, 2, 3)))
    yield Case("sum, last of many", ((32, 32, 32, 32),), lambda t, x: x.sum((1, 3)))
    for n in (2, 4, 7, 16, 33):
        yield Case(f"sum, rows of {n}", ((1048576 // n, n),), lambda t, x: x.sum(1))
    yield Case("sum, long row", ((2, 1 << 20),), lambda t, x: x.sum(1))
    yield Case("sum, narrow columns", ((1 << 18, 4),), lambda t, x: x.sum(0))
    yield Case("sum, transposed", (IMAGE,), lambda t, x: x.t().sum(1))
    yield Case("sum, strided", ((1024, 2048),), lambda t, x: x[:, ::2].sum(1))
    yield Case("sum, expanded", (IMAGE,), lambda t, x: x.expand(4, 1024, 1024).sum((0, 1)))
    for p in (1, 2, 3, float("inf")):
        yield Case(f"norm {p}", (IMAGE,), lambda t, x, p=p: t.linalg.vector_norm(x, p, 1))
    yield Case("norm, all", ((4096, 1024),), lambda t, x: x.norm())
    yield Case("normalize", (IMAGE,), lambda t, x: fn(t).normalize(x, dim=1))
    yield Case("cosine_similarity", (IMAGE, IMAGE), lambda t, x, y: fn(t).cosine_similarity(x, y, 1))
    for dim in (0, 1):
        yield Case(f"max with indices, axis {dim}", (IMAGE,), lambda t, x, d=dim: x.max(d)[0])
        for name in SCANS.split():
            yield Case(f"{name}, axis {dim}", (IMAGE,), lambda t, x, n=name, d=dim: getattr(t, n)(x * 0.1 + 1, d))
        yield Case(f"cummax, axis {dim}", (IMAGE,), lambda t, x, d=dim: x.cummax(d)[0])
    yield Case("cumsum, one long row", ((1 << 20,),), lambda t, x: x.cumsum(0))
    yield Case("median, axis 1", (IMAGE,), lambda t, x: x.median(1)[0])
    yield Case("median, all", ((1 << 18,),), lambda t, x: x.median())
    yield Case("quantile", (IMAGE,), lambda t, x: t.quantile(x, 0.3, 1))
    yield Case("mean and var", (IMAGE,), lambda t, x: t.var_mean(x, 1)[0])
    yield Case("count_nonzero", (IMAGE,), lambda t, x: t.count_nonzero(x, 1), False)
    yield Case("diff", (IMAGE,), lambda t, x: x.diff(dim=1))
    yield Case("trace of products", (IMAGE, IMAGE), lambda t, x, y: (x * y).sum())


def losses():
    for dim in (0, 1):
        yield Case(f"softmax, axis {dim}", (IMAGE,), lambda t, x, d=dim: t.softmax(x, d))
        yield Case(f"log_softmax, axis {dim}", (IMAGE,), lambda t, x, d=dim: t.log_softmax(x, d))
    yield Case("softmax, short rows", ((65536, 16),), lambda t, x: t.softmax(x, 1))
    yield Case("softmax, channels", ((16, 20, 64, 64),), lambda t, x: t.softmax(x, 1))
    yield Case("softmax, long rows", ((16, 65536),), lambda t, x: t.softmax(x, 1))
    yield Case("softmax, masked", ((64, 128, 128),), lambda t, x: t.softmax(
        x.masked_fill(t.ones(128, 128).triu(1) > 0, float("-inf")), -1))
    classes = ((4096, 512), Index((4096,), 512))
    yield Case("cross_entropy", classes, lambda t, x, y: fn(t).cross_entropy(x, y))
    yield Case("cross_entropy, smooth", classes, lambda t, x, y: fn(t).cross_entropy(x, y, label_smoothing=0.1))
    yield Case("cross_entropy, pixels", ((8, 20, 64, 64), Index((8, 64, 64), 20)), lambda t, x, y: fn(t).cross_entropy(x, y))
    yield Case("nll_loss", classes, lambda t, x, y: fn(t).nll_loss(x, y))
    yield Case("kl_div", (IMAGE, IMAGE), lambda t, x, y: fn(t).kl_div(x, y.abs(), reduction="batchmean"))
    yield Case("binary_cross_entropy", (IMAGE, IMAGE),
               lambda t, x, y: fn(t).binary_cross_entropy(x.abs() * 0.9 + 0.05, y.abs()))
    yield Case("bce with logits", (IMAGE, IMAGE), lambda t, x, y: fn(t).binary_cross_entropy_with_logits(x, y.abs()))
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        yield Case(name, (IMAGE, IMAGE), lambda t, x, y, n=name: getattr(fn(t), n)(x, y))
    yield Case("gaussian_nll_loss", (IMAGE, IMAGE), lambda t, x, y: fn(t).gaussian_nll_loss(x, y, t.ones(1024, 1024)))
    yield Case("triplet_margin_loss", ((4096, 256),) * 3, lambda t, x, y, z: fn(t).triplet_margin_loss(x, y, z))


def norms():
    for rows, n in ((32768, 64), (4096, 512), (2048, 1024), (256, 8192)):
        shapes = ((rows, n), (n,), (n,))
        yield Case(f"layer_norm, rows of {n}", shapes, lambda t, x, w, b, n=n: fn(t).layer_norm(x, (n,), w, b))
    yield Case("rms_norm", ((4096, 512), (512,)), lambda t, x, w: fn(t).rms_norm(x, (512,), w))
    for shape in ((32, 64, 32, 32), (32, 512, 7, 7), (128, 256, 4, 4), (8, 16, 128, 128), (4096, 256)):
        c, label = shape[1], "x".join(map(str, shape))
        yield Case(f"batch_norm {label}", (shape, (c,), (c,)),
                   lambda t, x, w, b: fn(t).batch_norm(x, None, None, w, b, training=True))
    chan = ((32, 64, 32, 32), (64,), (64,))
    yield Case("batch_norm, evaluating", chan, lambda t, x, w, b: fn(t).batch_norm(
        x, t.zeros(64), t.ones(64), w, b, training=False))
    yield Case("group_norm, 8 groups", chan, lambda t, x, w, b: fn(t).group_norm(x, 8, w, b))
    yield Case("group_norm, 32 groups", ((8, 256, 16, 16), (256,), (256,)), lambda t, x, w, b: fn(t).group_norm(x, 32, w, b))
    yield Case("group_norm, 1 group", chan, lambda t, x, w, b: fn(t).group_norm(x, 1, w, b))
    yield Case("instance_norm", chan[:1], lambda t, x: fn(t).instance_norm(x))
    yield Case("layer_norm, channels first", ((8, 64, 32, 32), (64,), (64,)), channel_norm)
    yield Case("local_response_norm", ((8, 32, 32, 32),), lambda t, x: fn(t).local_response_norm(x, 5))


def channel_norm(t, x, w, b):
    """As in ConvNeXt: over the channels of an image."""
    return fn(t).layer_norm(x.permute(0, 2, 3, 1), (64,), w, b).permute(0, 3, 1, 2)


def products():
    for m, k, n in [(256, 256, 256), (1024, 1024, 1024), (64, 784, 256), (256, 768, 3072), (4096, 64, 64),
                    (1, 4096, 4096), (4096, 4096, 1)]:
        yield Case(f"matmul {m}x{k}x{n}", ((m, k), (k, n)), lambda t, x, y: x @ y)
    yield Case("matmul, both transposed", ((768, 512), (512, 768)), lambda t, x, y: x.t() @ y.t())
    yield Case("bmm", ((64, 128, 32), (64, 32, 128)), lambda t, x, y: t.bmm(x, y))
    yield Case("linear", ((256, 512), (1024, 512), (1024,)), lambda t, x, w, b: fn(t).linear(x, w, b))
    yield Case("einsum", ((64, 32, 64), (64, 64, 32)), lambda t, x, y: t.einsum("bij,bjk->ik", x, y))
    attention = ((8, 8, 128, 32),) * 3
    yield Case("attention", attention, lambda t, q, k, v: fn(t).scaled_dot_product_attention(q, k, v))
    yield Case("cdist", ((512, 64), (512, 64)), lambda t, x, y: t.cdist(x, y))
    yield Case("cdist, p 1", ((256, 64), (256, 64)), lambda t, x, y: t.cdist(x, y, p=1.0))
    yield Case("outer", ((1024,), (1024,)), lambda t, x, y: t.outer(x, y))


def convolutions():
    def conv(name, x, w, **options):
        rank = len(x) - 2
        return Case(name, (x, w), lambda t, a, b: getattr(fn(t), f"conv{rank}d")(a, b, **options))
    yield conv("conv2d 3x3", (16, 64, 32, 32), (64, 64, 3, 3), padding=1)
    yield conv("conv2d 1x1", (16, 64, 32, 32), (128, 64, 1, 1))
    yield conv("conv2d 3x3, stride 2", (16, 64, 32, 32), (64, 64, 3, 3), stride=2, padding=1)
    yield conv("conv2d 7x7, 3 channels", (8, 3, 112, 112), (32, 3, 7, 7), stride=2, padding=3)
    yield conv("conv2d, dilated", (8, 32, 32, 32), (32, 32, 3, 3), padding=2, dilation=2)
    yield conv("conv2d, 8 groups", (16, 64, 32, 32), (64, 8, 3, 3), padding=1, groups=8)
    yield conv("conv2d, depthwise", (16, 64, 32, 32), (64, 1, 3, 3), padding=1, groups=64)
    yield conv("conv1d", (16, 64, 512), (64, 64, 5), padding=2)
    yield conv("conv3d", (2, 16, 16, 32, 32), (16, 16, 3, 3, 3), padding=1)
    yield Case("conv_transpose2d", ((8, 64, 16, 16), (64, 32, 4, 4)),
               lambda t, x, w: fn(t).conv_transpose2d(x, w, stride=2, padding=1))


def windows():
    image = (MAPS,)
    yield Case("max_pool2d", image, lambda t, x: fn(t).max_pool2d(x, 2))
    yield Case("max_pool2d, overlapping", image, lambda t, x: fn(t).max_pool2d(x, 3, 1, 1))
    yield Case("max_pool2d, 3 by 2", image, lambda t, x: fn(t).max_pool2d(x, 3, 2, 1))
    yield Case("max_pool1d", ((16, 64, 1024),), lambda t, x: fn(t).max_pool1d(x, 2))
    yield Case("max_pool3d", ((4, 16, 16, 32, 32),), lambda t, x: fn(t).max_pool3d(x, 2))
    yield Case("avg_pool2d", image, lambda t, x: fn(t).avg_pool2d(x, 2))
    yield Case("avg_pool2d, overlapping", image, lambda t, x: fn(t).avg_pool2d(x, 3, 1, 1))
    yield Case("avg_pool1d", ((16, 64, 1024),), lambda t, x: fn(t).avg_pool1d(x, 4))
    yield Case("adaptive_avg_pool2d", image, lambda t, x: fn(t).adaptive_avg_pool2d(x, 7))
    yield Case("adaptive_avg_pool2d to 1", image, lambda t, x: fn(t).adaptive_avg_pool2d(x, 1))
    yield Case("adaptive_max_pool2d", image, lambda t, x: fn(t).adaptive_max_pool2d(x, 7))
    yield Case("lp_pool2d", image, lambda t, x: fn(t).lp_pool2d(x.abs() + 0.1, 2, 2))
    yield Case("unfold", image, lambda t, x: fn(t).unfold(x, 3))
    yield Case("fold", ((4, 64 * 9, 900),), lambda t, x: fn(t).fold(x, (32, 32), 3))
    yield Case("x.unfold", (IMAGE,), lambda t, x: x.unfold(1, 8, 4).contiguous())
    for mode in ("nearest", "bilinear", "bicubic"):
        options = {} if mode == "nearest" else {"align_corners": False}
        yield Case(f"interpolate {mode}, up", image, lambda t, x, m=mode, o=options: fn(t).interpolate(
            x, scale_factor=2, mode=m, **o))
        yield Case(f"interpolate {mode}, down", image, lambda t, x, m=mode, o=options: fn(t).interpolate(
            x, size=(20, 20), mode=m, **o))
    yield Case("grid_sample", ((8, 16, 32, 32), (8, 32, 32, 2)), lambda t, x, g: fn(t).grid_sample(x, g, align_corners=False))
    yield Case("pixel_shuffle", image, lambda t, x: fn(t).pixel_shuffle(x, 2))
    yield Case("pixel_unshuffle", image, lambda t, x: fn(t).pixel_unshuffle(x, 2))
    yield Case("channel_shuffle", image, lambda t, x: fn(t).channel_shuffle(x, 4))
    for mode in ("constant", "reflect", "replicate", "circular"):
        yield Case(f"pad, {mode}", image, lambda t, x, m=mode: fn(t).pad(x, (2, 2, 2, 2), mode=m))
    yield Case("pad, one side", (IMAGE,), lambda t, x: fn(t).pad(x, (0, 3)))


def indexing():
    rows, table = Index((8192,), 4096), (4096, 256)
    yield Case("embedding", (table, rows), lambda t, x, i: fn(t).embedding(i, x))
    yield Case("embedding, large table", ((100000, 64), Index((64, 128), 100000)), lambda t, x, i: fn(t).embedding(i, x))
    yield Case("embedding_bag", (table, Index((1024, 16), 4096)), lambda t, x, i: fn(t).embedding_bag(i, x, mode="mean"))
    yield Case("index_select", (table, rows), lambda t, x, i: x.index_select(0, i))
    yield Case("index_select, axis 1", (IMAGE, Index((512,), 1024)), lambda t, x, i: x.index_select(1, i))
    yield Case("x[i]", (table, rows), lambda t, x, i: x[i])
    yield Case("x[i, j]", (IMAGE, Index((100000,), 1024), Index((100000,), 1024)), lambda t, x, i, j: x[i, j])
    yield Case("x[:, i]", (IMAGE, Index((512,), 1024)), lambda t, x, i: x[:, i])
    yield Case("x[mask]", (IMAGE,), lambda t, x: x[x.detach() > 0])
    yield Case("masked_select", (IMAGE,), lambda t, x: x.masked_select(x.detach() > 0.9))
    yield Case("gather", (IMAGE, Index(IMAGE, 1024)), lambda t, x, i: x.gather(1, i))
    yield Case("gather, axis 0", (IMAGE, Index(IMAGE, 1024)), lambda t, x, i: x.gather(0, i))
    yield Case("take_along_dim", (IMAGE, Index((1024, 64), 1024)), lambda t, x, i: t.take_along_dim(x, i, 1))
    yield Case("scatter", (IMAGE, IMAGE, Index(IMAGE, 1024)), lambda t, x, y, i: x.scatter(1, i, y), False)
    yield Case("scatter_add", (IMAGE, IMAGE, Index(IMAGE, 1024)), lambda t, x, y, i: x.scatter_add(1, i, y))
    yield Case("scatter_add, axis 0", (IMAGE, IMAGE, Index(IMAGE, 1024)), lambda t, x, y, i: x.scatter_add(0, i, y))
    yield Case("scatter_reduce amax", (IMAGE, IMAGE, Index(IMAGE, 1024)),
               lambda t, x, y, i: x.scatter_reduce(1, i, y, "amax"), False)
    yield Case("index_add", (table, (8192, 256), rows), lambda t, x, y, i: x.index_add(0, i, y))
    yield Case("index_add, numbers", ((4096,), (500000,), Index((500000,), 4096)), lambda t, x, y, i: x.index_add(0, i, y))
    yield Case("index_copy", (table, (2048, 256), Index((2048,), 4096)), lambda t, x, y, i: x.index_copy(0, i, y), False)
    yield Case("index_fill", (table, Index((2048,), 4096)), lambda t, x, i: x.index_fill(0, i, 1.0), False)
    yield Case("index_put", (table, (8192, 256), rows), lambda t, x, y, i: x.index_put((i,), y, accumulate=True))
    yield Case("graph convolution", ((4096, 64), Index((65536,), 4096), Index((65536,), 4096)),
               lambda t, x, i, j: t.zeros(4096, 64).index_add(0, i, x[j]))
    yield Case("masked_fill", (IMAGE,), lambda t, x: x.masked_fill(x.detach() > 0, 1.0))
    yield Case("nonzero", (IMAGE,), lambda t, x: (x > 0.5).nonzero(), False)
    yield Case("unique", (Index((1 << 18,), 1000),), lambda t, x: x.unique(), False)
    yield Case("bincount", (Index((1 << 20,), 1000),), lambda t, x: x.bincount(minlength=1000), False)
    yield Case("histc", ((1 << 20,),), lambda t, x: t.histc(x, 100, -1.0, 1.0), False)
    yield Case("searchsorted", ((4096,), (1 << 18,)), lambda t, x, y: t.searchsorted(x.sort()[0], y), False)
    yield Case("bucketize", ((1 << 18,),), lambda t, x: t.bucketize(x, t.linspace(-1, 1, 64)), False)
    yield Case("one_hot", (Index((16384,), 64),), lambda t, x: fn(t).one_hot(x, 64), False)
    yield Case("isin", (Index((1 << 18,), 1000), Index((64,), 1000)), lambda t, x, y: t.isin(x, y), False)
    for dim in (0, 1):
        yield Case(f"sort, axis {dim}", (IMAGE,), lambda t, x, d=dim: x.sort(d)[0])
    yield Case("sort, one long row", ((1 << 20,),), lambda t, x: x.sort()[0], False)
    yield Case("sort, short rows", ((65536, 16),), lambda t, x: x.sort(1)[0])
    yield Case("argsort", (IMAGE,), lambda t, x: x.argsort(1), False)
    yield Case("topk", (IMAGE,), lambda t, x: x.topk(10, 1)[0])
    yield Case("topk of 100", (IMAGE,), lambda t, x: x.topk(100, 1)[0])
    yield Case("topk, one long row", ((1 << 20,),), lambda t, x: x.topk(50)[0])
    yield Case("kthvalue", (IMAGE,), lambda t, x: x.kthvalue(100, 1)[0])
    yield Case("tril", (IMAGE,), lambda t, x: x.tril())
    yield Case("triu", (IMAGE,), lambda t, x: x.triu(1))
    yield Case("diagonal", ((64, 256, 256),), lambda t, x: x.diagonal(dim1=1, dim2=2) + 1)


def copies():
    yield Case("transposed copy", (IMAGE,), lambda t, x: x.t().contiguous())
    yield Case("transposed copy, batch", ((64, 64, 256),), lambda t, x: x.transpose(1, 2).contiguous())
    yield Case("transposed copy, float64", (Of(IMAGE, "float64"),), lambda t, x: x.t().contiguous())
    yield Case("transposed copy, ragged", ((1000, 1001),), lambda t, x: x.t().contiguous())
    yield Case("permuted copy", (MAPS,), lambda t, x: x.permute(0, 2, 3, 1).contiguous())
    yield Case("permuted copy, back", ((16, 32, 32, 64),), lambda t, x: x.permute(0, 3, 1, 2).contiguous())
    yield Case("heads apart", ((16, 128, 512),), lambda t, x: x.view(16, 128, 8, 64).transpose(1, 2).contiguous())
    yield Case("channels_last copy", (MAPS,), lambda t, x: x.contiguous(memory_format=t.channels_last))
    yield Case("strided copy", ((2048, 2048),), lambda t, x: x[::2, ::2].contiguous())
    yield Case("cat, axis 0", (IMAGE, IMAGE), lambda t, x, y: t.cat([x, y], 0))
    yield Case("cat, axis 1", (IMAGE, IMAGE), lambda t, x, y: t.cat([x, y], 1))
    yield Case("cat, channels", (MAPS, MAPS), lambda t, x, y: t.cat([x, y], 1))
    yield Case("cat, narrow", ((16384, 32), (16384, 16)), lambda t, x, y: t.cat([x, y], 1))
    yield Case("cat of relus", (MAPS, MAPS), lambda t, x, y: t.cat([x.relu(), y.relu()], 1))
    yield Case("cat of 100", ((100, 64, 64),), lambda t, x: t.cat(list(x.unbind(0)), 1))
    yield Case("stack of 100", ((100, 64, 64),), lambda t, x: t.stack([x[i] for i in range(100)], 0))
    yield Case("stack, last axis", (IMAGE, IMAGE), lambda t, x, y: t.stack([x, y], -1))
    yield Case("split and add", ((1024, 4096),), lambda t, x: sum(x.split(1024, 1)))
    yield Case("chunk and cat", (IMAGE,), lambda t, x: t.cat(x.chunk(8, 1)[::-1], 1))
    yield Case("repeat", ((256, 256),), lambda t, x: x.repeat(4, 4))
    yield Case("expand copy", ((1024, 1),), lambda t, x: x.expand(1024, 1024).contiguous())
    yield Case("repeat_interleave", ((256, 1024),), lambda t, x: x.repeat_interleave(4, 0))
    yield Case("repeat_interleave, axis 1", ((1024, 256),), lambda t, x: x.repeat_interleave(4, 1))
    yield Case("clone", ((2048, 2048),), lambda t, x: x.clone() + 0)
    yield Case("roll", (IMAGE,), lambda t, x: x.roll(3, 1))
    yield Case("roll, two axes", (MAPS,), lambda t, x: x.roll((2, 2), (2, 3)))
    yield Case("flip", (IMAGE,), lambda t, x: x.flip(1))
    yield Case("flip, axis 0", (IMAGE,), lambda t, x: x.flip(0))
    yield Case("rot90", (IMAGE,), lambda t, x: x.rot90())
    yield Case("tile", ((64, 256),), lambda t, x: x.tile((16, 4)))


def made():
    like = ((4,),)
    for name, run in (
            ("rand", lambda t, x: t.rand(1024, 1024)), ("randn", lambda t, x: t.randn(1024, 1024)),
            ("randn, float64", lambda t, x: t.randn(1024, 512, dtype=t.float64)),
            ("randint", lambda t, x: t.randint(0, 100, (1024, 1024))), ("randperm", lambda t, x: t.randperm(1 << 18)),
            ("bernoulli", lambda t, x: t.bernoulli(t.full((1024, 1024), 0.3))),
            ("normal_", lambda t, x: t.empty(1024, 1024).normal_(0.0, 0.02)),
            ("uniform_", lambda t, x: t.empty(1024, 1024).uniform_(-0.1, 0.1)),
            ("exponential_", lambda t, x: t.empty(1024, 1024).exponential_()),
            ("eye", lambda t, x: t.eye(1024)), ("arange", lambda t, x: t.arange(1 << 20)),
            ("linspace", lambda t, x: t.linspace(0, 1, 1 << 20)), ("full", lambda t, x: t.full((2048, 1024), 0.5)),
            ("zeros", lambda t, x: t.zeros(2048, 1024) + x[0])):
        yield Case(name, like, run, False)
    yield Case("multinomial", ((512, 1024),), lambda t, x: t.multinomial(x.abs() + 0.1, 1), False)
    yield Case("multinomial of 20", ((512, 1024),), lambda t, x: t.multinomial(x.abs() + 0.1, 20, replacement=True), False)
    yield Case("dropout", (IMAGE,), lambda t, x: fn(t).dropout(x, 0.3))
    yield Case("dropout2d", ((64, 256, 8, 8),), lambda t, x: fn(t).dropout2d(x, 0.3))
    yield Case("rand_like", (IMAGE,), lambda t, x: x + t.rand_like(x))


ROOMS = (pointwise, dtypes, broadcasting, reductions, losses, norms, products, convolutions, windows, indexing, copies, made)
