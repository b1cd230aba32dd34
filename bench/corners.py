"""The second half of the operation table: other ranks, dtypes, layouts and sizes of what bench/operations.py has."""
from __future__ import annotations

from .table import IMAGE, MAPS, Case, Index, Of, fn

LAST = "channels last"


# -- contractions ---------------------------------------------------------------------------------------------
def conv(name, x, w, last=False, transposed=False, **options):
    """A convolution of any rank; `last` puts the channels last in memory."""
    rank = len(x) - 2
    called = f"conv_transpose{rank}d" if transposed else f"conv{rank}d"

    def run(t, a, b):
        layout = t.channels_last if rank == 2 else t.channels_last_3d
        return getattr(fn(t), called)(a.contiguous(memory_format=layout) if last else a, b, **options)
    return Case(f"{called}, {name}", (x, w), run)


def further_convolutions():
    yield conv("3x3x3", (2, 32, 8, 28, 28), (32, 32, 3, 3, 3), padding=1)
    yield conv("3x3x3, stride 2", (2, 32, 16, 28, 28), (64, 32, 3, 3, 3), padding=1, stride=2)
    yield conv("1x3x3", (2, 32, 8, 28, 28), (32, 32, 1, 3, 3), padding=(0, 1, 1))
    yield conv("3x1x1", (2, 32, 8, 28, 28), (32, 32, 3, 1, 1), padding=(1, 0, 0))
    yield conv("depthwise", (2, 32, 8, 28, 28), (32, 1, 3, 3, 3), padding=1, groups=32)
    yield conv("3 channels", (2, 3, 8, 56, 56), (32, 3, 3, 7, 7), padding=(1, 3, 3), stride=(1, 2, 2))
    yield conv("kernel 3, stride 2", (16, 64, 1024), (128, 64, 3), stride=2, padding=1)
    yield conv("kernel 15", (16, 16, 1024), (16, 16, 15), padding=7)
    yield conv("dilation 8", (8, 32, 1024), (32, 32, 3), padding=8, dilation=8)
    yield conv("depthwise, kernel 9", (16, 128, 512), (128, 1, 9), padding=4, groups=128)
    yield conv("1 channel", (8, 1, 16000), (32, 1, 80), stride=4)
    yield conv("5x5", (16, 32, 28, 28), (32, 32, 5, 5), padding=2)
    yield conv("7x7 patches", (8, 3, 224, 224), (96, 3, 16, 16), stride=16)
    yield conv("stem of an image", (4, 3, 224, 224), (32, 3, 3, 3), stride=2, padding=1)
    yield conv(f"stem, {LAST}", (4, 3, 224, 224), (32, 3, 3, 3), last=True, stride=2, padding=1)
    yield conv(f"3x3, {LAST}", (16, 64, 32, 32), (64, 64, 3, 3), last=True, padding=1)
    yield conv(f"1x1, {LAST}", (16, 64, 32, 32), (128, 64, 1, 1), last=True)
    yield conv(f"3x3, stride 2, {LAST}", (16, 64, 32, 32), (128, 64, 3, 3), last=True, padding=1, stride=2)
    yield conv(f"depthwise, {LAST}", (16, 64, 32, 32), (64, 1, 3, 3), last=True, padding=1, groups=64)
    yield conv(f"8 groups, {LAST}", (16, 64, 32, 32), (64, 8, 3, 3), last=True, padding=1, groups=8)
    yield conv("8 groups, stride 2", (16, 64, 32, 32), (64, 8, 3, 3), padding=1, stride=2, groups=8)
    yield conv("32 groups of 4", (16, 128, 28, 28), (128, 4, 3, 3), padding=1, groups=32)
    yield conv("depthwise 7x7", (8, 96, 28, 28), (96, 1, 7, 7), padding=3, groups=96)
    yield conv("depthwise, stride 2", (16, 64, 32, 32), (64, 1, 3, 3), padding=1, stride=2, groups=64)
    yield conv("1x1, stride 2", (16, 64, 32, 32), (128, 64, 1, 1), stride=2)
    yield conv("one column", (16, 32, 32, 32), (32, 32, 3, 1), padding=(1, 0))
    yield conv("2x2 images", (128, 256, 2, 2), (256, 256, 3, 3), padding=1)
    yield conv("7x7 images", (32, 256, 7, 7), (256, 256, 3, 3), padding=1)
    yield conv("1 output channel", (16, 64, 64, 64), (1, 64, 3, 3), padding=1)
    yield conv("few outputs, 1x1", (16, 64, 64, 64), (4, 64, 1, 1))
    yield conv("one image", (1, 64, 56, 56), (64, 64, 3, 3), padding=1)
    yield conv("odd sizes", (5, 30, 37, 41), (33, 30, 3, 3), padding=1)
    yield conv("4x4, stride 2", (16, 64, 32, 32), (64, 32, 4, 4), transposed=True, stride=2, padding=1)
    yield conv("2x2, stride 2", (16, 64, 32, 32), (64, 32, 2, 2), transposed=True, stride=2)
    yield conv("3x3, stride 1", (16, 64, 16, 16), (64, 32, 3, 3), transposed=True, padding=1)
    yield conv("from 1x1", (64, 100, 1, 1), (100, 256, 4, 4), transposed=True)
    yield conv("kernel 8, stride 4", (16, 64, 256), (64, 32, 8), transposed=True, stride=4, padding=2)
    yield conv("2x2x2, stride 2", (2, 32, 8, 16, 16), (32, 16, 2, 2, 2), transposed=True, stride=2)


EINSUMS = {"ij,jk->ik": ((256, 300), (300, 200)), "bhid,bhjd->bhij": ((8, 8, 64, 32), (8, 8, 64, 32)),
           "bhij,bhjd->bhid": ((8, 8, 64, 64), (8, 8, 64, 32)), "bi,bj->bij": ((64, 128), (64, 128)),
           "bij->bji": ((64, 64, 128),), "bij,bij->b": ((64, 64, 128),) * 2, "ij->i": ((1024, 1024),),
           "ii->i": ((1024, 1024),), "btd,de->bte": ((16, 64, 128), (128, 256)), "bnd,bmd->bnm": ((16, 64, 64),) * 2,
           "bi,ijk,bk->bj": ((64, 32), (32, 64, 32), (64, 32)), "nctv,vw->nctw": ((16, 64, 32, 25), (25, 25)),
           "bqhd,bkhd->bhqk": ((8, 64, 8, 32),) * 2}


def further_products():
    for text, shapes in EINSUMS.items():
        yield Case(f"einsum {text}", shapes, lambda t, *xs, e=text: t.einsum(e, *xs))
    for b, m, k, n in [(4096, 4, 4, 4), (2048, 8, 8, 8), (1024, 16, 16, 16), (4096, 3, 3, 1), (512, 1, 64, 64), (256, 64, 64, 1),
                       (1024, 7, 5, 9), (16, 256, 64, 256)]:
        yield Case(f"bmm {b} of {m}x{k}x{n}", ((b, m, k), (b, k, n)), lambda t, x, y: t.bmm(x, y))
    for rows, k, n in [(1, 1024, 4096), (1, 4096, 1000), (2, 1024, 1024), (8, 1024, 1024), (17, 512, 2048), (4096, 16, 16),
                       (65536, 8, 8), (8192, 64, 1), (8192, 3, 128), (1000, 1000, 10)]:
        yield Case(f"linear {rows}x{k} to {n}", ((rows, k), (n, k), (n,)),
                   lambda t, x, w, b: fn(t).linear(x, w, b))
    for name in ("float64", "bfloat16"):
        yield Case(f"matmul 512, {name}", (Of((512, 512), name),) * 2, lambda t, x, y: x @ y)
        yield Case(f"linear, {name}", (Of((64, 512), name), Of((512, 512), name)),
                   lambda t, x, w: fn(t).linear(x, w))
    yield Case("matmul 256, int64", (Index((256, 256), 9),) * 2, lambda t, x, y: x @ y, False)
    yield Case("matmul, broadcast", ((32, 64, 128), (128, 64)), lambda t, x, y: x @ y)
    yield Case("matmul, broadcast left", ((64, 64), (32, 64, 128)), lambda t, x, y: x @ y)
    yield Case("matmul, strided", ((512, 1024), (512, 512)), lambda t, x, y: x[:, ::2] @ y)
    yield Case("addmm", ((512, 256), (512, 512), (512, 256)), lambda t, x, y, z: t.addmm(x, y, z, beta=0.5))
    yield Case("baddbmm", ((32, 64, 64), (32, 64, 32), (32, 32, 64)), lambda t, x, y, z: t.baddbmm(x, y, z))
    yield Case("mv", ((2048, 2048), (2048,)), lambda t, x, y: x.mv(y))
    yield Case("mv, transposed", ((2048, 2048), (2048,)), lambda t, x, y: x.t().mv(y))
    yield Case("dot", ((1 << 20,), (1 << 20,)), lambda t, x, y: x.dot(y))
    yield Case("bilinear", ((128, 32), (128, 32), (16, 32, 32)), lambda t, x, y, w: fn(t).bilinear(x, y, w))
    yield Case("tensordot", ((64, 16, 32), (16, 32, 64)), lambda t, x, y: t.tensordot(x, y, 2))
    yield Case("kron", ((32, 32), (32, 32)), lambda t, x, y: t.kron(x, y))
    yield Case("cosine of all pairs", ((512, 64), (512, 64)),
               lambda t, x, y: fn(t).normalize(x) @ fn(t).normalize(y).t())
    yield Case("pdist", ((256, 64),), lambda t, x: t.pdist(x))
    yield Case("cdist, few columns", ((1024, 3), (1024, 3)), lambda t, x, y: t.cdist(x, y))
    for shape in ((4, 4, 512, 64), (32, 8, 16, 32), (2, 2, 1024, 64)):
        yield Case(f"attention {shape}, causal", (shape,) * 3,
                   lambda t, q, k, v: fn(t).scaled_dot_product_attention(q, k, v, is_causal=True))
    yield Case("attention, one query", ((8, 8, 1, 64), (8, 8, 1024, 64), (8, 8, 1024, 64)),
               lambda t, q, k, v: fn(t).scaled_dot_product_attention(q, k, v))
    yield Case("matrix power", ((128, 128),), lambda t, x: t.linalg.matrix_power(x * 0.1, 5))
    spd = lambda t, x: x @ x.mT + 10 * t.eye(x.shape[-1])
    yield Case("cholesky", ((128, 128),), lambda t, x: t.linalg.cholesky(spd(t, x)))
    yield Case("solve", ((128, 128), (128, 16)), lambda t, x, y: t.linalg.solve(spd(t, x), y))
    yield Case("inverses of small", ((512, 4, 4),), lambda t, x: t.linalg.inv(spd(t, x)))
    yield Case("determinants of small", ((512, 4, 4),), lambda t, x: t.linalg.det(spd(t, x)))


# -- windows and images ----------------------------------------------------------------------------------------
def further_windows():
    pools = ((1, (16, 64, 1024)), (3, (2, 16, 16, 32, 32)))
    for rank, shape in pools:
        for kind in ("max", "avg"):
            yield Case(f"adaptive_{kind}_pool{rank}d", (shape,),
                       lambda t, x, n=f"adaptive_{kind}_pool{rank}d": getattr(fn(t), n)(x, 5))
        yield Case(f"avg_pool{rank}d, overlapping", (shape,),
                   lambda t, x, n=f"avg_pool{rank}d": getattr(fn(t), n)(x, 3, 2, 1))
        yield Case(f"max_pool{rank}d, overlapping", (shape,),
                   lambda t, x, n=f"max_pool{rank}d": getattr(fn(t), n)(x, 3, 2, 1))
    yield Case("max_pool2d with indices", (MAPS,),
               lambda t, x: fn(t).max_pool2d(x, 2, return_indices=True)[1], False)
    yield Case("max_unpool2d", ((16, 64, 16, 16),), lambda t, x: fn(t).max_unpool2d(
        *fn(t).max_pool2d(x, 2, return_indices=True), 2))
    yield Case(f"max_pool2d, {LAST}", (MAPS,),
               lambda t, x: fn(t).max_pool2d(x.contiguous(memory_format=t.channels_last), 2))
    yield Case(f"avg_pool2d, {LAST}", (MAPS,),
               lambda t, x: fn(t).avg_pool2d(x.contiguous(memory_format=t.channels_last), 2))
    yield Case("max_pool2d, large windows", ((16, 32, 64, 64),), lambda t, x: fn(t).max_pool2d(x, 8))
    yield Case("avg_pool2d, large windows", ((16, 32, 64, 64),), lambda t, x: fn(t).avg_pool2d(x, 7, 1, 3))
    yield Case("max_pool2d, float64", (Of(MAPS, "float64"),), lambda t, x: fn(t).max_pool2d(x, 2))
    yield Case("adaptive_avg_pool2d, up", ((16, 64, 4, 4),), lambda t, x: fn(t).adaptive_avg_pool2d(x, 7))
    yield Case("unfold, stride 2", (MAPS,), lambda t, x: fn(t).unfold(x, 4, stride=2, padding=1))
    yield Case("unfold, patches", ((8, 3, 224, 224),), lambda t, x: fn(t).unfold(x, 16, stride=16))
    yield Case("fold, stride 2", ((4, 64 * 16, 256),),
               lambda t, x: fn(t).fold(x, (32, 32), 4, stride=2, padding=1))
    yield Case("fold, patches", ((8, 3 * 256, 196),), lambda t, x: fn(t).fold(x, (224, 224), 16, stride=16))
    yield from resized()
    yield Case("affine_grid", ((32, 2, 3),),
               lambda t, x: fn(t).affine_grid(x, (32, 3, 64, 64), align_corners=False))
    for mode in ("nearest", "bicubic"):
        yield Case(f"grid_sample, {mode}", ((4, 16, 32, 32), (4, 32, 32, 2)),
                   lambda t, x, g, m=mode: fn(t).grid_sample(x, g, mode=m, align_corners=False))
    for mode in ("border", "reflection"):
        yield Case(f"grid_sample, {mode}", ((4, 16, 32, 32), (4, 32, 32, 2)),
                   lambda t, x, g, m=mode: fn(t).grid_sample(x, g, padding_mode=m, align_corners=False))
    yield Case("grid_sample, 3-d", ((2, 8, 8, 16, 16), (2, 8, 16, 16, 3)),
               lambda t, x, g: fn(t).grid_sample(x, g, align_corners=False))
    yield from padded()


def resized():
    for mode, shape in (("nearest", (16, 64, 512)), ("linear", (16, 64, 512)), ("nearest", (2, 16, 8, 16, 16)),
                        ("trilinear", (2, 16, 8, 16, 16)), ("area", MAPS), ("nearest-exact", MAPS),
                        ("bilinear", (2, 16, 128, 128)), ("bilinear", (16, 256, 8, 8)), ("nearest", (8, 3, 128, 128))):
        for word, scale in (("up", 2), ("down", 0.6)):
            yield Case(f"interpolate {mode}, {word}, {'x'.join(map(str, shape))}", (shape,),
                       lambda t, x, m=mode, s=scale: fn(t).interpolate(x, scale_factor=s, mode=m))
    yield Case("interpolate bilinear, corners", (MAPS,),
               lambda t, x: fn(t).interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))
    yield Case("interpolate bilinear, antialiased", ((4, 16, 64, 64),),
               lambda t, x: fn(t).interpolate(x, size=(24, 24), mode="bilinear", antialias=True))


def padded():
    for mode in ("constant", "reflect", "replicate", "circular"):
        yield Case(f"pad 1-d, {mode}", ((16, 64, 1024),), lambda t, x, m=mode: fn(t).pad(x, (3, 3), mode=m))
        yield Case(f"pad 3-d, {mode}", ((2, 16, 8, 32, 32),),
                   lambda t, x, m=mode: fn(t).pad(x, (1,) * 6, mode=m))
    yield Case("pad of relu", (MAPS,), lambda t, x: fn(t).pad(x.relu(), (1, 1, 1, 1)))
    yield Case("pad, rows", ((64, 128, 128),), lambda t, x: fn(t).pad(x, (0, 0, 1, 0)))
    yield Case("pad, cropping", ((16, 64, 40, 40),), lambda t, x: fn(t).pad(x, (-2, -2, -2, -2)))


# -- indexing ---------------------------------------------------------------------------------------------------
def spots(kind, shape, below):
    """Indices all over the place (cold), or in a few places (hot)."""
    return Index(shape, below if kind == "cold" else 8)


def further_indexing():
    for kind in ("cold", "hot"):
        rows, many = spots(kind, (16384,), 8192), spots(kind, (200000,), 65536)
        yield Case(f"index_add, {kind}", ((8192, 64), (16384, 64), rows),
                   lambda t, x, y, i: x.index_add(0, i, y))
        yield Case(f"index_add of numbers, {kind}", ((65536,), (200000,), many),
                   lambda t, x, y, i: x.index_add(0, i, y))
        yield Case(f"index_add, axis 1, {kind}", ((64, 2048), (64, 4096), spots(kind, (4096,), 2048)),
                   lambda t, x, y, i: x.index_add(1, i, y))
        yield Case(f"scatter_add of numbers, {kind}", ((65536,), (200000,), many),
                   lambda t, x, y, i: x.scatter_add(0, i, y))
        yield Case(f"index_put of numbers, {kind}", ((65536,), (200000,), many),
                   lambda t, x, y, i: x.index_put((i,), y, accumulate=True))
        yield Case(f"index_put of pairs, {kind}", (IMAGE, (100000,), spots(kind, (100000,), 1024), Index((100000,), 1024)),
                   lambda t, x, y, i, j: x.index_put((i, j), y, accumulate=True))
        yield Case(f"embedding, {kind}", ((8192, 128), spots(kind, (64, 128), 8192)),
                   lambda t, x, i: fn(t).embedding(i, x))
        yield Case(f"scatter_reduce mean, {kind}", ((65536,), (200000,), many),
                   lambda t, x, y, i: x.scatter_reduce(0, i, y, "mean"), False)
        yield Case(f"bincount, {kind}", (spots(kind, (500000,), 10000),),
                   lambda t, x: x.bincount(minlength=10000), False)
    for mode in ("sum", "max"):
        yield Case(f"embedding_bag, {mode}", ((4096, 64), Index((1024, 16), 4096)),
                   lambda t, x, i, m=mode: fn(t).embedding_bag(i, x, mode=m))
    yield Case("embedding_bag, offsets", ((4096, 64), Index((16384,), 4096)),
               lambda t, x, i: fn(t).embedding_bag(i, x, t.arange(0, 16384, 16), mode="sum"))
    yield Case("embedding_bag, weighted", ((4096, 64), Index((1024, 16), 4096), (1024, 16)),
               lambda t, x, i, w: fn(t).embedding_bag(i, x, mode="sum", per_sample_weights=w))
    yield Case("gather, few columns", (IMAGE, Index((1024, 32), 1024)), lambda t, x, i: x.gather(1, i))
    yield Case("gather, few rows", (IMAGE, Index((256, 1024), 1024)), lambda t, x, i: x.gather(0, i))
    yield Case("gather, 3-d", ((32, 128, 64), Index((32, 128, 64), 128)), lambda t, x, i: x.gather(1, i))
    yield Case("gather of labels", ((65536, 32), Index((65536, 1), 32)), lambda t, x, i: x.gather(1, i))
    yield Case("gather, int64", (Of(IMAGE, "int64"), Index(IMAGE, 1024)), lambda t, x, i: x.gather(1, i), False)
    yield Case("x[:, :, i]", ((64, 64, 256), Index((128,), 256)), lambda t, x, i: x[:, :, i])
    yield Case("x[i][:, j]", (IMAGE, Index((512,), 1024), Index((512,), 1024)), lambda t, x, i, j: x[i][:, j])
    yield Case("x[i[:, None], j]", (IMAGE, Index((512, 1), 1024), Index((512,), 1024)),
               lambda t, x, i, j: x[i, j])
    yield Case("x[rows of a mask]", ((8192, 128),), lambda t, x: x[x.detach()[:, 0] > 0])
    yield Case("x[mask] = y", (IMAGE, (1024,)), lambda t, x, y: fill(x.clone(), x > 2, y), False)
    yield Case("x[i] = y", ((8192, 128), (4096, 128), Index((4096,), 8192)),
               lambda t, x, y, i: put(x.clone(), i, y), False)
    yield Case("x[:, ::2] = y", (IMAGE, (1024, 512)),
               lambda t, x, y: put(x.clone(), (slice(None), slice(None, None, 2)), y))
    yield Case("masked_select, few", (IMAGE,), lambda t, x: x.masked_select(x.detach() > 0.99))
    yield Case("masked_select, broadcast", ((1024, 512), (1024, 1)),
               lambda t, x, m: x.masked_select(m.detach() > 0), False)
    yield Case("masked_scatter", (IMAGE, IMAGE), lambda t, x, y: x.masked_scatter(x.detach() > 0, y), False)
    yield Case("nonzero, few", (IMAGE,), lambda t, x: (x > 0.99).nonzero(), False)
    yield Case("nonzero of a row", ((1 << 20,),), lambda t, x: (x > 0).nonzero(), False)
    yield Case("where, one argument", (IMAGE,), lambda t, x: t.where(x > 0.9)[0], False)
    yield Case("argwhere, int64", (Index(IMAGE, 10),), lambda t, x: t.argwhere(x == 3), False)
    yield Case("unique, floats", ((1 << 16,),), lambda t, x: x.unique(), False)
    yield Case("unique with counts", (Index((1 << 17,), 5000),),
               lambda t, x: t.unique(x, return_inverse=True, return_counts=True)[1], False)
    yield Case("unique_consecutive", (Index((1 << 18,), 4),), lambda t, x: t.unique_consecutive(x), False)
    yield Case("one_hot of 1000", (Index((2048,), 1000),), lambda t, x: fn(t).one_hot(x, 1000), False)
    yield Case("searchsorted, rows", ((256, 256), (256, 1024)),
               lambda t, x, y: t.searchsorted(x.sort(1)[0], y), False)
    yield Case("histc of few", ((1 << 18,),), lambda t, x: t.histc(x, 10), False)
    yield Case("repeat_interleave by counts", ((4096, 64), Index((4096,), 4)),
               lambda t, x, n: x.repeat_interleave(n, 0))
    yield Case("take", (IMAGE, Index((100000,), 1 << 20)), lambda t, x, i: x.take(i))
    yield Case("index_select, 3-d", ((32, 512, 64), Index((256,), 512)), lambda t, x, i: x.index_select(1, i))
    yield Case("index_select, narrow rows", ((65536, 3), Index((100000,), 65536)),
               lambda t, x, i: x.index_select(0, i))
    yield Case("tril_indices", ((4,),), lambda t, x: t.tril_indices(1024, 1024), False)
    yield Case("combinations", ((400,),), lambda t, x: t.combinations(x), False)
    yield Case("cartesian_prod", ((512,), (512,)), lambda t, x, y: t.cartesian_prod(x, y), False)
    yield from sorted_cases()


def fill(x, mask, y):
    x[mask] = y[0]
    return x


def put(x, at, y):
    x[at] = y
    return x


def sorted_cases():
    for shape, dim in (((64, 128, 64), 1), ((4096, 100), 1), ((100, 4096), 0), ((16, 65536), 1)):
        label = "x".join(map(str, shape)) + f", axis {dim}"
        yield Case(f"sort {label}", (shape,), lambda t, x, d=dim: x.sort(d)[0])
        yield Case(f"argsort {label}", (shape,), lambda t, x, d=dim: x.argsort(d), False)
        yield Case(f"topk {label}", (shape,), lambda t, x, d=dim: x.topk(5, d)[0])
        yield Case(f"median {label}", (shape,), lambda t, x, d=dim: x.median(d)[0])
        yield Case(f"kthvalue {label}", (shape,), lambda t, x, d=dim: x.kthvalue(7, d)[0])
    yield Case("sort, descending", (IMAGE,), lambda t, x: x.sort(1, descending=True)[0])
    yield Case("sort, float64", (Of(IMAGE, "float64"),), lambda t, x: x.sort(1)[0])
    yield Case("sort, bfloat16", (Of(IMAGE, "bfloat16"),), lambda t, x: x.sort(1)[0])
    yield Case("sort, int32", (Of(IMAGE, "int32"),), lambda t, x: x.sort(1)[0], False)
    yield Case("sort, uint8", (Index(IMAGE, 200),), lambda t, x: x.byte().sort(1)[0], False)
    yield Case("sort, sorted already", ((1 << 18,),), lambda t, x: t.arange(1 << 18).float().sort()[0], False)
    yield Case("sort, few values", (Index((1 << 18,), 10),), lambda t, x: x.sort()[0], False)
    yield Case("msort", (IMAGE,), lambda t, x: x.msort())
    yield Case("topk of vocabulary", ((32, 50257),), lambda t, x: x.topk(40, 1)[0])
    yield Case("topk, smallest", (IMAGE,), lambda t, x: x.topk(10, 1, largest=False)[0])
    yield Case("topk, int64", (Of(IMAGE, "int64"),), lambda t, x: x.topk(10, 1)[0], False)
    yield Case("mode", (Index((1024, 256), 10),), lambda t, x: x.mode(1)[0], False)
    yield Case("nanmedian", (IMAGE,), lambda t, x: x.nanmedian(1)[0])


# -- reductions, scans, norms, losses ---------------------------------------------------------------------------
CUBE = (64, 128, 128)


def further_reductions():
    for name in ("sum", "amax", "argmax", "argmin", "var", "prod", "logsumexp", "all", "any"):
        for dim in (0, 1, 2):
            yield Case(f"{name} of a cube, axis {dim}", (CUBE,),
                       lambda t, x, n=name, d=dim: getattr(t, n)(x, d),
                       name in ("sum", "amax", "var", "prod", "logsumexp"))
    for name in ("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin"):
        for dim in (0, 1, 2):
            yield Case(f"{name} of a cube, axis {dim}", (CUBE,),
                       lambda t, x, n=name, d=dim: reduced(t, n, x * 0.1 + 1, d))
    for name in ("sum", "mean", "amax", "std", "argmax", "cumsum"):
        for kind in ("float64", "bfloat16", "float16", "int32", "uint8"):
            if name in ("mean", "std") and kind in ("int32", "uint8"):
                continue
            for dim in (0, 1):
                yield Case(f"{name}, axis {dim}, {kind}", (Of(IMAGE, kind) if kind != "uint8" else Index(IMAGE, 200),),
                           lambda t, x, n=name, d=dim, k=kind: getattr(t, n)(x.to(getattr(t, k)), d),
                           kind.startswith(("f", "b")) and name not in ("argmax",))
    for rows, n in ((1 << 19, 2), (1 << 18, 3), (1 << 17, 8), (1 << 16, 20)):
        for name in ("sum", "amax", "var", "argmax", "softmax", "cumsum", "norm"):
            yield Case(f"{name}, rows of {n}", ((rows, n),),
                       lambda t, x, n=name: getattr(t, n)(x, dim=1), name != "argmax")
            if name != "softmax":
                yield Case(f"{name}, columns, {n} of them", ((rows, n),),
                           lambda t, x, n=name: getattr(t, n)(x, dim=0), name != "argmax")
    yield Case("sum of channels", (MAPS,), lambda t, x: x.sum(1))
    yield Case("amax of channels", (MAPS,), lambda t, x: x.amax(1))
    yield Case("argmax of channels", (MAPS,), lambda t, x: x.argmax(1), False)
    yield Case("mean of images", (MAPS,), lambda t, x: x.mean((2, 3)))
    yield Case(f"mean of images, {LAST}", (MAPS,),
               lambda t, x: x.contiguous(memory_format=t.channels_last).mean((2, 3)))
    yield Case("sum, outer axes", (MAPS,), lambda t, x: x.sum((0, 1)))
    yield Case("sum, batch", ((64, 16384),), lambda t, x: x.sum(0))
    yield Case("sum of products, axis 1", (IMAGE, IMAGE), lambda t, x, y: (x * y).sum(1))
    yield Case("std, all", (IMAGE,), lambda t, x: x.std())
    yield Case("norm 2, axis 0", (IMAGE,), lambda t, x: x.norm(2, 0))
    yield Case("norm, Frobenius of many", ((256, 64, 64),), lambda t, x: t.linalg.matrix_norm(x))
    yield Case("aminmax", (IMAGE,), lambda t, x: t.aminmax(x, dim=1)[0])
    yield Case("nansum", (IMAGE,), lambda t, x: x.nansum(1))
    yield Case("min with indices, middle axis", (CUBE,), lambda t, x: x.min(1)[0])
    yield Case("cov", ((64, 4096),), lambda t, x: t.cov(x))
    yield Case("quantile, axis 0", (IMAGE,), lambda t, x: t.quantile(x, 0.5, 0))
    yield Case("cumsum, reversed", (IMAGE,), lambda t, x: x.flip(1).cumsum(1).flip(1))
    yield Case("trapezoid", (IMAGE,), lambda t, x: t.trapezoid(x, dim=1))
    yield Case("renorm", (IMAGE,), lambda t, x: t.renorm(x, 2, 0, 1.0))
    yield from softmaxes()


def reduced(t, name, x, dim):
    made = getattr(t, name)(x, dim)
    return made[0] if isinstance(made, tuple) else made


def softmaxes():
    for name in ("softmax", "log_softmax"):
        yield Case(f"{name} of channels", (MAPS,), lambda t, x, n=name: getattr(t, n)(x, 1))
        yield Case(f"{name}, vocabulary", ((128, 32000),), lambda t, x, n=name: getattr(t, n)(x, 1))
        yield Case(f"{name} of a cube, axis 0", (CUBE,), lambda t, x, n=name: getattr(t, n)(x, 0))
        yield Case(f"{name}, float64", (Of(IMAGE, "float64"),), lambda t, x, n=name: getattr(t, n)(x, 1))
        yield Case(f"{name}, float16", (Of(IMAGE, "float16"),), lambda t, x, n=name: getattr(t, n)(x, 1))
    yield Case("gumbel-like", (IMAGE,), lambda t, x: t.softmax((x + 0.1) / 0.5, 1))
    words = ((256, 32000), Index((256,), 32000))
    yield Case("cross_entropy, vocabulary", words, lambda t, x, y: fn(t).cross_entropy(x, y))
    yield Case("cross_entropy, none", words, lambda t, x, y: fn(t).cross_entropy(x, y, reduction="none"))
    yield Case("cross_entropy, 10 classes", ((65536, 10), Index((65536,), 10)),
               lambda t, x, y: fn(t).cross_entropy(x, y))
    yield Case("cross_entropy, probabilities", ((4096, 512), (4096, 512)),
               lambda t, x, y: fn(t).cross_entropy(x, y.abs()))
    yield Case("cross_entropy, ignoring", ((4096, 512), Index((4096,), 512)),
               lambda t, x, y: fn(t).cross_entropy(x, y, ignore_index=3))
    yield Case("cross_entropy, weights", ((4096, 512), Index((4096,), 512), (512,)),
               lambda t, x, y, w: fn(t).cross_entropy(x, y, w.abs().detach()))
    yield Case("nll of pixels", ((8, 20, 64, 64), Index((8, 64, 64), 20)), lambda t, x, y: fn(t).nll_loss(x, y))
    for name in ("huber_loss", "smooth_l1_loss", "kl_div", "mse_loss"):
        yield Case(f"{name}, none", (IMAGE, IMAGE),
                   lambda t, x, y, n=name: getattr(fn(t), n)(x, y.abs(), reduction="none"))
    yield Case("kl_div of logs", (IMAGE, IMAGE), lambda t, x, y: fn(t).kl_div(
        x.log_softmax(1), y.log_softmax(1), log_target=True, reduction="batchmean"))
    yield Case("poisson_nll_loss", (IMAGE, IMAGE), lambda t, x, y: fn(t).poisson_nll_loss(x, y.abs()))
    yield Case("hinge_embedding_loss", (IMAGE, IMAGE),
               lambda t, x, y: fn(t).hinge_embedding_loss(x, y.detach().sign()))
    yield Case("margin_ranking_loss", ((1 << 20,),) * 3,
               lambda t, x, y, z: fn(t).margin_ranking_loss(x, y, z.detach().sign()))
    yield Case("multi_margin_loss", ((4096, 100), Index((4096,), 100)),
               lambda t, x, y: fn(t).multi_margin_loss(x, y))
    yield Case("multilabel_soft_margin", ((4096, 100), (4096, 100)),
               lambda t, x, y: fn(t).multilabel_soft_margin_loss(x, (y.detach() > 0).float()))
    yield Case("cosine_embedding_loss", ((4096, 256), (4096, 256), (4096,)),
               lambda t, x, y, z: fn(t).cosine_embedding_loss(x, y, z.detach().sign()))
    yield Case("ctc_loss", ((50, 16, 20), Index((16, 10), 19)), lambda t, x, y: fn(t).ctc_loss(
        x.log_softmax(2), y + 1, t.full((16,), 50), t.full((16,), 10)))
    yield from further_norms()


def further_norms():
    for rows, n in ((262144, 4), (65536, 16), (32768, 32), (10000, 100), (16, 65536), (1, 1 << 20)):
        yield Case(f"layer_norm, {rows} rows of {n}", ((rows, n), (n,), (n,)),
                   lambda t, x, w, b, n=n: fn(t).layer_norm(x, (n,), w, b))
    yield Case("layer_norm of two axes", ((64, 128, 64), (128, 64), (128, 64)),
               lambda t, x, w, b: fn(t).layer_norm(x, (128, 64), w, b))
    yield Case("layer_norm, float64", (Of(IMAGE, "float64"),), lambda t, x: fn(t).layer_norm(x, (1024,)))
    yield Case("rms_norm, bfloat16", (Of(IMAGE, "bfloat16"),), lambda t, x: fn(t).rms_norm(x, (1024,)))
    for shape in ((64, 128), (16, 64, 512), (2, 16, 8, 32, 32), (4, 3, 224, 224), (2, 64, 56, 56)):
        c = shape[1]
        yield Case(f"batch_norm, {'x'.join(map(str, shape))}", (shape, (c,), (c,)),
                   lambda t, x, w, b: fn(t).batch_norm(x, None, None, w, b, training=True))
    yield Case(f"batch_norm, {LAST}", (MAPS, (64,), (64,)), lambda t, x, w, b: fn(t).batch_norm(
        x.contiguous(memory_format=t.channels_last), None, None, w, b, training=True))
    for groups, shape in ((4, (16, 64, 512)), (32, (4, 512, 8, 8)), (16, (2, 64, 56, 56)), (8, (256, 256))):
        c = shape[1]
        yield Case(f"group_norm of {groups}, {'x'.join(map(str, shape))}", (shape, (c,), (c,)),
                   lambda t, x, w, b, n=groups: fn(t).group_norm(x, n, w, b))
    yield Case("instance_norm, weights", ((8, 32, 64, 64), (32,), (32,)),
               lambda t, x, w, b: fn(t).instance_norm(x, weight=w, bias=b))
    yield Case("instance_norm, 1-d", ((16, 64, 512),), lambda t, x: fn(t).instance_norm(x))


# -- pointwise: dtypes, layouts, broadcasts ------------------------------------------------------------------------
def further_pointwise():
    for kind in ("float64", "bfloat16", "float16"):
        for name in ("add", "mul", "div", "exp", "log1p", "tanh", "sigmoid", "sqrt", "sin", "relu", "gelu", "silu", "pow"):
            yield Case(f"{name}, {kind}", (Of(IMAGE, kind),), lambda t, x, n=name: half(t, x * 0.01, n))
    for name in ("add", "mul", "sub", "floor_divide", "remainder", "maximum", "eq", "lt", "bitwise_and", "bitwise_or"):
        for kind in ("uint8", "int16", "int32"):
            yield Case(f"{name}, {kind} (numbers)", (Index(IMAGE, 100), Index(IMAGE, 9)),
                       lambda t, x, y, n=name, k=kind: getattr(t, n)(x.to(getattr(t, k)), y.to(getattr(t, k)) + 1), False)
    for name in ("abs", "neg", "sign", "square", "clamp", "bitwise_not", "float", "bool", "double"):
        yield Case(f"{name}, int64 (numbers)", (Of(IMAGE, "int64"),),
                   lambda t, x, n=name: whole(t, x, n), False)
    for name in ("logical_and", "logical_or", "logical_xor", "bitwise_and", "eq"):
        yield Case(f"{name}, bool", (Index(IMAGE, 2), Index(IMAGE, 2)),
                   lambda t, x, y, n=name: getattr(t, n)(x.bool(), y.bool()), False)
    yield Case("<<, int64", (Index(IMAGE, 100), Index(IMAGE, 9)), lambda t, x, y: x << y, False)
    yield Case("div by number, int64", (Of(IMAGE, "int64"),), lambda t, x: x / 7, False)
    yield Case("// by number, int64", (Of(IMAGE, "int64"),), lambda t, x: x // 7, False)
    yield Case("% by number, int64", (Of(IMAGE, "int64"),), lambda t, x: x % 7, False)
    yield Case("// by number", (IMAGE,), lambda t, x: x // 0.3, False)
    yield Case("float32 and float64", (IMAGE, Of(IMAGE, "float64")), lambda t, x, y: x + y)
    yield Case("float32 and int64", (IMAGE, Of(IMAGE, "int64")), lambda t, x, y: x * y)
    yield Case("where, row and column", ((1024, 1), (1024,)), lambda t, x, y: t.where(x > y, x, y))
    yield Case("where, number", (IMAGE,), lambda t, x: t.where(x > 0, x, 0.0))
    yield Case("where, channels", (MAPS, (64, 1, 1)), lambda t, x, y: t.where(y > 0, x, -x))
    yield Case("masked_fill, row mask", (CUBE, (128,)), lambda t, x, m: x.masked_fill(m.detach() > 0, -1.0))
    yield Case("add, three axes broadcast", ((64, 1, 128), (1, 128, 1)), lambda t, x, y: x + y)
    yield Case("mul, images and batch", (MAPS, (16, 1, 1, 1)), lambda t, x, y: x * y)
    yield Case("mul, images and channels per image", (MAPS, (16, 64, 1, 1)), lambda t, x, y: x * y)
    yield Case("mul, last of 3", ((262144, 3), (3,)), lambda t, x, y: x * y)
    yield Case("add, inner axis of 2", ((262144, 2), (262144, 1)), lambda t, x, y: x + y)
    yield Case("sub of a mean", (IMAGE,), lambda t, x: x - x.mean(0))
    yield from walks()
    for name in "erfinv logit i0 xlogy float_power ldexp heaviside polygamma frac deg2rad rsub fmax".split():
        yield Case(f"{name} (table)", (IMAGE, IMAGE),
                   lambda t, x, y, n=name: special(t, n, x.abs() * 0.9 + 0.05, y.abs() + 0.1), False)
    for name in ("celu", "hardtanh", "threshold", "softmin", "prelu", "rrelu", "softshrink", "hardshrink", "logsigmoid"):
        yield Case(f"{name} (table)", (IMAGE,), lambda t, x, n=name: activation(t, n, x))


def walks():
    yield Case("add, one transposed in a batch", (CUBE, CUBE), lambda t, x, y: x + y.transpose(1, 2))
    yield Case("add, outer axes swapped", (CUBE, (128, 64, 128)), lambda t, x, y: x + y.transpose(0, 1))
    yield Case("add, all axes reversed", ((96, 96, 96),) * 2, lambda t, x, y: x + y.permute(2, 1, 0))
    yield Case("mul of a slice", ((1024, 1100),), lambda t, x: x[:, 10:1034] * 2)
    yield Case("mul, every third", ((1024, 3072),), lambda t, x: x[:, ::3] * 2)
    yield Case("mul, every other row", ((2048, 1024),), lambda t, x: x[::2] * 2)
    yield Case("exp, transposed", (IMAGE,), lambda t, x: x.t().exp())
    yield Case("exp, transposed and copied", (IMAGE,), lambda t, x: x.t().exp().contiguous())
    yield Case("relu of halves", ((16, 128, 32, 32),), lambda t, x: x[:, :64] * x[:, 64:].sigmoid())
    yield Case("rotary", ((16, 8, 128, 64),), lambda t, x: t.cat([-x[..., 32:], x[..., :32]], -1))
    yield Case("rotary, by pairs", ((16, 8, 128, 64),),
               lambda t, x: t.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2))
    yield Case("complex product by hand", (IMAGE, IMAGE),
               lambda t, x, y: t.stack([x[:, ::2] * y[:, ::2], x[:, 1::2] * y[:, 1::2]], -1))


def half(t, x, name):
    calls = {"add": lambda: x + x, "mul": lambda: x * x, "div": lambda: x / (x + 2), "pow": lambda: (x.abs() + 0.1) ** 1.5,
             "gelu": lambda: fn(t).gelu(x), "silu": lambda: fn(t).silu(x), "log1p": lambda: x.abs().log1p(),
             "sqrt": lambda: (x.abs() + 0.1).sqrt()}
    return calls[name]() if name in calls else getattr(t, name)(x)


def whole(t, x, name):
    if name == "clamp":
        return x.clamp(-5, 5)
    return getattr(x, name)() if name in ("float", "bool", "double") else getattr(t, name)(x)


def special(t, name, x, y):
    calls = {"ldexp": lambda: t.ldexp(x, (y * 3).int()), "polygamma": lambda: t.polygamma(1, x), "rsub": lambda: 1 - x,
             "logit": lambda: t.logit(x * 0.9), "erfinv": lambda: t.erfinv(x * 0.9), "i0": lambda: t.special.i0e(x),
             "frac": lambda: x.frac(), "deg2rad": lambda: x.deg2rad()}
    return calls[name]() if name in calls else getattr(t, name)(x, y)


def activation(t, name, x):
    calls = {"threshold": lambda: fn(t).threshold(x, 0.1, 0.0), "softmin": lambda: fn(t).softmin(x, 1),
             "prelu": lambda: fn(t).prelu(x, t.full((1,), 0.2))}
    return calls[name]() if name in calls else getattr(fn(t), name)(x)


# -- joining, moving, making -----------------------------------------------------------------------------------------
def further_copies():
    yield Case("stack of 100 computed", ((100, 64, 64),), lambda t, x: t.stack([y * 2 for y in x.unbind(0)], 0))
    yield Case("cat of 8 computed", ((16, 256, 32, 32),),
               lambda t, x: t.cat([y.tanh() for y in x.chunk(8, 1)], 1))
    yield Case("cat of 3 views", ((64, 128, 192),), lambda t, x: t.cat(x.chunk(3, 2), 1))
    yield Case("cat, last axis of 1", ((1 << 18, 1), (1 << 18, 1)), lambda t, x, y: t.cat([x, y], 1))
    yield Case("cat, last axis of 3 and 5", ((1 << 16, 3), (1 << 16, 5)), lambda t, x, y: t.cat([x, y], 1))
    yield Case("stack, middle axis", (CUBE, CUBE), lambda t, x, y: t.stack([x, y], 1))
    yield Case("stack of 4, last axis", ((256, 1024),) * 4, lambda t, *xs: t.stack(xs, -1))
    yield Case("roll, axis 0", (IMAGE,), lambda t, x: x.roll(5, 0))
    yield Case("roll, all", (IMAGE,), lambda t, x: x.roll(1000))
    yield Case("flip, images", (MAPS,), lambda t, x: x.flip(3))
    yield Case("flip, two axes", (MAPS,), lambda t, x: x.flip((2, 3)))
    yield Case("flip, channels", (MAPS,), lambda t, x: x.flip(1))
    for kind in ("int64", "bfloat16", "uint8", "bool"):
        source = Index(IMAGE, 2) if kind in ("uint8", "bool") else Of(IMAGE, kind)
        yield Case(f"transposed copy, {kind}", (source,),
                   lambda t, x, k=kind: x.to(getattr(t, k)).t().contiguous(), False)
        yield Case(f"flip, {kind}", (source,), lambda t, x, k=kind: x.to(getattr(t, k)).flip(1), False)
        yield Case(f"tril, {kind}", (source,), lambda t, x, k=kind: x.to(getattr(t, k)).tril(), False)
        yield Case(f"cat, {kind}", (source, source),
                   lambda t, x, y, k=kind: t.cat([x.to(getattr(t, k)), y.to(getattr(t, k))], 1), False)
    yield Case("tril of a batch", (CUBE,), lambda t, x: x.tril())
    yield Case("diag_embed", ((256, 64),), lambda t, x: x.diag_embed())
    yield Case("permuted copy, all reversed", ((32, 64, 16, 32),),
               lambda t, x: x.permute(3, 2, 1, 0).contiguous())
    yield Case("permuted copy, patches", ((16, 3, 128, 128),),
               lambda t, x: x.reshape(16, 3, 8, 16, 8, 16).permute(0, 2, 4, 1, 3, 5).reshape(16, 64, 768))
    yield Case("windows of a map", ((8, 56, 56, 96),),
               lambda t, x: x.reshape(8, 8, 7, 8, 7, 96).permute(0, 1, 3, 2, 4, 5).reshape(-1, 49, 96))
    yield Case("short axis last", ((4, 1 << 18),), lambda t, x: x.t().contiguous())
    yield Case("short axis first", ((1 << 18, 4),), lambda t, x: x.t().contiguous())
    yield Case("images to pixels", ((16, 3, 128, 128),), lambda t, x: x.permute(0, 2, 3, 1).contiguous())
    yield Case("pixels to images", ((16, 128, 128, 3),), lambda t, x: x.permute(0, 3, 1, 2).contiguous())
    yield Case("pixel bytes to images", (Index((16, 128, 128, 3), 250),),
               lambda t, x: x.byte().permute(0, 3, 1, 2).float() / 255, False)
    yield Case("expand, middle", ((64, 1, 256),), lambda t, x: x.expand(64, 64, 256).contiguous())
    yield Case("expand, last", ((64, 256, 1),), lambda t, x: x.expand(64, 256, 64).contiguous())
    yield Case("meshgrid and stack", ((512,), (512,)),
               lambda t, x, y: t.stack(t.meshgrid(x, y, indexing="ij"), -1))
    yield Case("unbind and stack", ((32, 64, 512),), lambda t, x: t.stack(x.unbind(1), 0))
    yield Case("split and cat", ((256, 4096),), lambda t, x: t.cat(x.split(64, 1)[::2], 1))
    yield Case("block_diag", ((256, 256),) * 4, lambda t, *xs: t.block_diag(*xs))
    yield Case("vander", ((4096,),), lambda t, x: t.vander(x, 64), False)
    for kind in ("float64", "bfloat16"):
        for name in ("rand", "randn"):
            yield Case(f"{name}, {kind}", ((4,),),
                       lambda t, x, n=name, k=kind: getattr(t, n)(512, 1024, dtype=getattr(t, k)), False)
    yield Case("randint, int32", ((4,),), lambda t, x: t.randint(0, 1000, (1024, 1024), dtype=t.int32), False)
    yield Case("dropout of maps", (MAPS,), lambda t, x: fn(t).dropout(x, 0.1))
    yield Case("log_normal_", ((4,),), lambda t, x: t.empty(512, 1024).log_normal_(), False)
    yield Case("geometric_", ((4,),), lambda t, x: t.empty(512, 1024).geometric_(0.3), False)
    yield Case("multinomial, no replacement", ((512, 1024),),
               lambda t, x: t.multinomial(x.abs() + 0.1, 20), False)
    yield Case("gumbel_softmax", (IMAGE,), lambda t, x: fn(t).gumbel_softmax(x, 0.5))
    yield Case("stft", ((8, 16000),),
               lambda t, x: t.stft(x, 400, 160, window=t.hann_window(400), return_complex=True).abs())
    yield Case("rfft", ((256, 1024),), lambda t, x: t.fft.rfft(x).abs())
    yield from optimiser_lines()


def optimiser_lines():
    """What optimisers written by hand are made of."""
    big = (2048, 1024)
    yield Case("momentum by hand", (big, big), lambda t, x, y: x * 0.9 + y * 0.1, False)
    yield Case("Adam by hand", (big,) * 3, lambda t, m, v, g: m / (v.abs().sqrt() + 1e-8) * 1e-3 + g, False)
    yield Case("clipping by hand", (big,), lambda t, x: x * (1 / (x.norm() + 1e-6)).clamp(max=1.0), False)
    yield Case("averaging by hand", (big, big), lambda t, x, y: x.lerp(y, 0.01), False)


ROOMS = (further_convolutions, further_products, further_windows, further_indexing, further_reductions, further_pointwise,
         further_copies)
