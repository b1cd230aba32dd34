"""Products of matrices and everything that is one: mm, bmm, matmul, linear, einsum, tensordot, convolution."""
from __future__ import annotations

import math


from .casting import listed
from .. import dtypes
from ..autograd.node import named
from ..autograd.recall import recalled
from ..compiler.sizes import whole
from ..errors import warn_once
from ..layout import broadcast_shapes, wrap_dim
from ..prims import contract as c
from ..prims.table import Gradient
from ..tensor import Tensor
from .formats import like_images
from .promote import SAME, apply, into, result_type
from .shape import expand, permute, reshape, unsqueeze
from .support import legacy_name, need

MM, BMM = Gradient("MmBackward0", c.matmul.vjp), Gradient("BmmBackward0", c.matmul.vjp)
OF_BATCHES = BMM.named("UnsafeViewBackward0")
ADDMM = Gradient("AddmmBackward0", c.matmul.vjp)


KERNELS = {"mm": "addmm_impl_cpu_", "mv": "addmv_impl_cpu", "matmul": "bmm", "linear": "addmm_impl_cpu_"}


def _same_dtype(a, b, name):
    need(KERNELS.get(name, name), a.dtype, {1, 2, 3})
    if a.dtype is not b.dtype and name in ("bmm", "matmul"):
        raise RuntimeError(f"expected scalar type {legacy_name(a.dtype)} but found {legacy_name(b.dtype)}")
    if a.dtype is not b.dtype:
        short = {"float32": "float", "float64": "double", "int64": "long int", "float16": "c10::Half",
                 "bfloat16": "c10::BFloat16", "int32": "int", "complex64": "c10::complex<float>",
                 "complex128": "c10::complex<double>"}
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {short.get(a.dtype.name, a.dtype.name)} != "
                           f"{short.get(b.dtype.name, b.dtype.name)}")


@recalled("input mat2")
def mm(input, mat2, *, out=None):
    """Matrix product (n, k) x (k, m) -> (n, m)."""
    if input.dim() != 2:
        raise RuntimeError("self must be a matrix")
    if mat2.dim() != 2:
        raise RuntimeError("mat2 must be a matrix")
    _check_inner(input, mat2)
    return _out(apply(c.matmul, (input, mat2), {}, MM), out)


def _out(y, out):
    if out is None:
        return y
    return into(out, y, SAME)


def _check_inner(a, b):
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({a.shape[-2]}x{a.shape[-1]} and "
                           f"{b.shape[-2]}x{b.shape[-1]})")
    _same_dtype(a, b, "mm")


@recalled("input mat2")
def bmm(input, mat2, *, out=None):
    """Batched matrix product (b, n, k) x (b, k, m) -> (b, n, m)."""
    if input.dim() != 3:
        raise RuntimeError("batch1 must be a 3D tensor")
    if mat2.dim() != 3:
        raise RuntimeError("batch2 must be a 3D tensor")
    b, _, k = input.shape
    if mat2.shape[0] != b or mat2.shape[1] != k:
        raise RuntimeError("Expected size for first two dimensions of batch2 tensor to be: "
                           f"[{b}, {k}] but got: [{mat2.shape[0]}, {mat2.shape[1]}].")
    _same_dtype(input, mat2, "bmm")
    return _out(apply(c.matmul, (input, mat2), {}, BMM), out)


@recalled("input other")
def matmul(input, other, *, out=None):
    """Product over the last axis of input and the last but one of other; leading axes broadcast."""
    return _out(_matmul(input, other), out)


def _matmul(a, b):
    na, nb = a.layout.ndim, b.layout.ndim
    if not na or not nb:
        raise RuntimeError("both arguments to matmul need to be at least 1D, but they are "
                           f"{na}D and {nb}D")
    if na == 2 and nb == 2:
        return mm(a, b)
    if na == 1 and nb == 1:
        return dot(a, b)
    if na == 1:
        return named(_matmul(unsqueeze(a, 0), b).squeeze(-2), "SqueezeBackward4" if b.dim() == 2 else "SqueezeBackward1")
    if nb == 1:
        return mv(a, b) if na == 2 else _matmul(a, unsqueeze(b, 1)).squeeze(-1)
    if nb == 2:                         # one product over all rows
        if a.shape[-1] != b.shape[0]:
            rows = math.prod(a.shape[:-1])
            raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{a.shape[-1]} and "
                               f"{b.shape[0]}x{b.shape[1]})")
        y = mm(reshape(a, -1, a.shape[-1]) if a.numel() else a.reshape(math.prod(a.shape[:-1]), a.shape[-1]), b)
        return named(reshape(y, (*a.shape[:-1], b.shape[1])), "UnsafeViewBackward0")
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError("Expected size for first two dimensions of batch2 tensor to be: "
                           f"[{math.prod(broadcast_shapes(a.shape[:-2], b.shape[:-2]))}, {a.shape[-1]}] but got: "
                           f"[{math.prod(broadcast_shapes(a.shape[:-2], b.shape[:-2]))}, {b.shape[-2]}].")
    _same_dtype(a, b, "matmul")
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return apply(c.matmul, (_batched(a, batch), _batched(b, batch)), {}, OF_BATCHES)


def _batched(x, batch):
    return x if x.shape[:-2] == batch else expand(x, (*batch, *x.shape[-2:]))


@recalled("input other")
def dot(input, other, *, out=None):
    """Inner product of two vectors."""
    if input.dim() != 1 or other.dim() != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.dim()}D and {other.dim()}D tensors")
    if input.numel() != other.numel():
        raise RuntimeError(f"inconsistent tensor size, expected tensor [{input.numel()}] and src [{other.numel()}] to have "
                           "the same number of elements, but got "
                           f"{input.numel()} and {other.numel()} elements respectively")
    if input.dtype is not other.dtype:
        raise RuntimeError(f"dot : expected both vectors to have same dtype, but found {legacy_name(input.dtype)} and "
                           f"{legacy_name(other.dtype)}")
    need("dot", input.dtype, {1, 2, 3})
    if input.dtype in (dtypes.float32, dtypes.float64):
        y = (input * other).sum()
    else:
        y = apply(c.matmul, (unsqueeze(input, 0), unsqueeze(other, 1)), {}).reshape(())
    return _out(named(y, "DotBackward0"), out)


def vdot(input, other, *, out=None):
    """Inner product of two vectors (of the conjugate of the first)."""
    return named(dot(input.conj(), other, out=out), "VdotBackward0")


@recalled("input other")
def inner(input, other):
    """Products summed over the last axis of both."""
    if not input.dim() or not other.dim():
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(f"inner() the last dimension must match on both input tensors but got shapes {list(input.shape)} "
                           f"and {list(other.shape)}")
    return tensordot(input, other, ([-1], [-1]))


@recalled("input vec")
def mv(input, vec, *, out=None):
    """Matrix times vector."""
    if input.dim() != 2 or vec.dim() != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {input.dim()}, {vec.dim()}")
    if input.shape[1] != vec.shape[0]:
        raise RuntimeError(f"size mismatch, got input ({input.shape[0]}), mat ({input.shape[0]}x{input.shape[1]}), vec "
                           f"({vec.shape[0]})")
    return _out(named(mm(input, unsqueeze(vec, 1)).squeeze(1), "MvBackward0"), out)


@recalled("input vec2")
def outer(input, vec2, *, out=None):
    """All products of two vectors."""
    if input.dim() != 1 or vec2.dim() != 1:
        raise RuntimeError(f"outer: Expected 1-D argument self, but got {max(input.dim(), vec2.dim())}-D")
    y = unsqueeze(input, 1) * vec2
    return y if out is None else into(out, y)


ger = outer


def _blend(input, y, beta, alpha, name, out=None, put=_out):
    """beta * input + alpha * y; input is not looked at if beta is 0."""
    if y.dtype.rank < 2:
        beta, alpha = int(beta), int(alpha)
    y = y if alpha == 1 else y * alpha
    if beta == 0:
        full = y
    else:
        if input.dtype is not y.dtype:
            raise RuntimeError(f"self and mat2 must have the same dtype, but got {legacy_name(input.dtype)} and "
                               f"{legacy_name(y.dtype)}")
        _check_expands(input, y.shape)
        full = (input if beta == 1 else input * beta) + y
    return put(named(full, name), out)


def _check_expands(x, shape):
    if x.shape != shape:
        expand(x, shape)


@recalled("input mat1 mat2")
def addmm(input, mat1, mat2, *, beta=1, alpha=1, out=None):
    """beta * input + alpha * (mat1 @ mat2)."""
    for name, m in (("mat1", mat1), ("mat2", mat2)):
        if m.dim() != 2:
            raise RuntimeError(f"{name} must be a matrix, got {m.dim()}-D tensor")
    return _blend(input, mm(mat1, mat2), beta, alpha, "AddmmBackward0", out)


@recalled("input mat vec")
def addmv(input, mat, vec, *, beta=1, alpha=1, out=None):
    """beta * input + alpha * (mat @ vec)."""
    return _blend(input, mv(mat, vec), beta, alpha, "AddmvBackward0", out)


def addbmm(input, batch1, batch2, *, beta=1, alpha=1, out=None):
    """beta * input + alpha * the sum of the products of two batches of matrices."""
    return _blend(input, bmm(batch1, batch2).sum(0), beta, alpha, "AddbmmBackward0", out)


@recalled("input batch1 batch2")
def baddbmm(input, batch1, batch2, *, beta=1, alpha=1, out=None):
    """beta * input + alpha * (batch1 @ batch2), matrix by matrix."""
    return _blend(input, bmm(batch1, batch2), beta, alpha, "BaddbmmBackward0", out)


def addr(input, vec1, vec2, *, beta=1, alpha=1, out=None):
    """beta * input + alpha * the outer product of two vectors."""
    to = result_type((input, vec1, vec2))
    return _blend(input.to(to), outer(vec1.to(to), vec2.to(to)), beta, alpha, "AddrBackward0", out,
                  lambda y, to: y if to is None else into(to, y))


@recalled("input weight bias?")
def linear(input, weight, bias=None):
    """input @ weight.T + bias; input (*, in), weight (out, in), bias (out)."""
    if input.layout.ndim and input.shape[-1] != weight.shape[-1]:
        rows = math.prod(input.shape[:-1])
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input.shape[-1]} and "
                           f"{weight.shape[-1]}x{weight.shape[0] if weight.dim() > 1 else 1})")
    if weight.dim() == 1:
        y = _matmul(input, weight)
        return y if bias is None else y + bias
    _same_dtype(input, weight, "linear")
    flat = input if input.layout.ndim == 2 else reshape(input, math.prod(input.shape[:-1]), input.shape[-1])
    y = apply(c.matmul, (flat, _transposed(weight)), {}, MM if bias is None else ADDMM)
    if bias is not None:
        y = y + bias
    return y if input.layout.ndim == 2 else reshape(y, (*input.shape[:-1], weight.shape[0]))


def _transposed(w):
    from .shape import t
    return t(w)


def chain_matmul(*matrices, out=None):
    """The product of matrices in the order that takes the fewest multiplications."""
    warn_once("torch.chain_matmul is deprecated; torch.linalg.multi_dot takes a list of matrices.")
    ms = list(matrices[0]) if len(matrices) == 1 and not isinstance(matrices[0], Tensor) else list(matrices)
    if not ms:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    for m in ms:
        if m.dim() != 2:
            raise RuntimeError(f"Tensor dimension is {m.dim()}, expected 2 instead.")
    sizes = [ms[0].shape[0], *(m.shape[-1] for m in ms)]
    return _out(_chained(ms, sizes, _cuts(sizes), 0, len(ms) - 1), out)


def _cuts(sizes):
    """Where to cut each run of factors: dynamic programming over runs of growing length."""
    n = len(sizes) - 1
    cost, cut = {(i, i): 0 for i in range(n)}, {}
    for span in range(1, n):
        for i in range(n - span):
            j = i + span
            prices = {k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1] for k in range(i, j)}
            cut[i, j] = min(prices, key=prices.get)
            cost[i, j] = prices[cut[i, j]]
    return cut


def _chained(ms, sizes, cut, i, j):
    if i == j:
        return ms[i]
    k = cut[i, j]
    return mm(_chained(ms, sizes, cut, i, k), _chained(ms, sizes, cut, k + 1, j))


@recalled("a b")
def tensordot(a, b, dims=2):
    """Products summed over several axes: the last `dims` of a with the first of b, or two lists of axes."""
    if a.dtype is not b.dtype:
        raise RuntimeError("both inputs should have same dtype")
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.dim(), b.dim()):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        da, db = list(range(a.dim() - dims, a.dim())), list(range(dims))
    else:
        da, db = ([wrap_dim(d, x.dim()) for d in ((ds,) if isinstance(ds, int) else ds)] for ds, x in zip(dims, (a, b)))
    for i, j in zip(da, db):
        if a.shape[i] == 1 != b.shape[j]:           # broadcast: a sum over the other's axis
            b = b.sum(j, keepdim=True)
        elif b.shape[j] == 1 != a.shape[i]:
            a = a.sum(i, keepdim=True)
        elif a.shape[i] != b.shape[j]:
            raise RuntimeError(f"contracted dimensions need to match, but first has size {a.shape[i]} in dim {i} and "
                               f"second has size {b.shape[j]} in dim {j}")
    ra, rb = ([d for d in range(x.dim()) if d not in used] for x, used in ((a, da), (b, db)))
    k = math.prod(a.shape[d] for d in da)
    left = reshape(permute(a, ra + da), math.prod(a.shape[d] for d in ra), k)
    right = reshape(permute(b, db + rb), k, math.prod(b.shape[d] for d in rb))
    return reshape(mm(left, right), [a.shape[d] for d in ra] + [b.shape[d] for d in rb])


def kron(input, other):
    """Kronecker product."""
    n = max(input.dim(), other.dim())
    a, b = (x.reshape((1,) * (n - x.dim()) + tuple(x.shape)) for x in (input, other))
    shape = [i * j for i, j in zip(a.shape, b.shape)]
    a = a.reshape([m for i in a.shape for m in (i, 1)])
    b = b.reshape([m for j in b.shape for m in (1, j)])
    return named((a * b).reshape(shape), "UnsafeViewBackward0")


def matrix_power(input, n):
    """A square matrix multiplied by itself n times; its inverse -n times, if n is negative."""
    from .create import eye
    from .linalg import inv
    if n < 0:
        return matrix_power(inv(input), -n)
    if n == 0:
        return expand(eye(input.shape[-1], dtype=input.dtype), input.shape).clone()
    result = None
    while n:
        if n & 1:
            result = input if result is None else matmul(result, input)
        n >>= 1
        input = matmul(input, input) if n else input
    return result


def trace(input):
    """Sum of the diagonal."""
    if input.dim() != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.dim()}")
    need("trace", input.dtype, {1, 2, 3})
    return named(input.diagonal().sum(), "TraceBackward0")


# -- einsum --------------------------------------------------------------------------------------------------------
def einsum(equation, *operands):
    """Sums of products in Einstein's notation, e.g. einsum('bij,bjk->bik', a, b); '...' for leading axes."""
    if isinstance(equation, Tensor):
        equation, operands = _spelled(equation, *operands)
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    return _einsum(equation, operands)


def _spelled(*given):
    """The equation that lists of numbers between the operands mean: einsum(a, [0, 1], b, [1, 2], [0, 2])."""
    n = len(given) // 2 * 2
    terms = ",".join(map(_letters, given[1:n:2]))
    return terms + ("->" + _letters(given[n]) if len(given) > n else ""), given[:n:2]


def _letters(numbers) -> str:
    bad = [i for i in numbers if i is not ... and not 0 <= i < 52]
    if bad:
        raise RuntimeError(f"einsum(): subscript in subscript list is not within the valid range [0, 52): "
                           f"{bad[0]}")
    return "".join("..." if i is ... else chr((65 if i < 26 else 71) + i) for i in numbers)


@recalled("operands*")
def _einsum(equation, operands):
    inputs, output = _parse(equation.replace(" ", ""), operands)
    sizes = _label_sizes(inputs, operands)
    for l in output:
        if l not in sizes:
            raise RuntimeError(f"einsum(): output subscript {l} does not appear in the equation for any input operand")
    terms = [_diagonals(x, labels) for x, labels in zip(operands, inputs)]
    while len(terms) > 1:
        (a, la), (b, lb) = terms.pop(0), terms.pop(0)
        keep = set(output).union(*(labels for _, labels in terms))
        terms.insert(0, _pair(a, la, b, lb, keep, sizes))
    x, labels = terms[0]
    gone = [i for i, l in enumerate(labels) if l not in output]
    x = x.sum(gone) if gone else x
    labels = [l for l in labels if l in output]
    return permute(x, [labels.index(l) for l in output]) if x.dim() else x


def _parse(equation, operands):
    for i, x in enumerate(operands):
        if not isinstance(x, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 1, but got {type(x).__name__}")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise RuntimeError(f"einsum(): {'fewer' if len(terms) > len(operands) else 'more'} operands were provided than "
                           "specified in the equation")
    dots = max((x.dim() - len(t.replace("...", "")) for t, x in zip(terms, operands) if "..." in t), default=0)
    fill = [f"_{i}" for i in range(dots)]
    inputs = []
    for t, x in zip(terms, operands):
        head, mark, tail = t.partition("...")
        n = x.dim() - len(head) - len(tail)
        if n < 0 or not mark and n:
            raise RuntimeError("einsum(): the number of subscripts in the equation "
                               f"({len(head) + len(tail)}) does not match the number of dimensions ({x.dim()}) for operand "
                               f"{len(inputs)} and no ellipsis was given")
        inputs.append([*head, *(fill[dots - n:] if mark else []), *tail])
    if arrow:
        head, mark, tail = right.partition("...")
        return inputs, [*head, *(fill if mark else []), *tail]
    seen = [l for labels in inputs for l in labels]
    return inputs, fill + sorted(l for l in set(seen) if seen.count(l) == 1 and l not in fill)


def _label_sizes(inputs, operands):
    sizes = {}
    for i, (labels, x) in enumerate(zip(inputs, operands)):
        for l, n in zip(labels, x.shape):
            if sizes.get(l, 1) != n and n != 1 and sizes.get(l, 1) != 1:
                raise RuntimeError(f"einsum(): subscript {l} has size {n} for operand {i} which does not broadcast with "
                                   f"previously seen size {sizes[l]}")
            sizes[l] = max(sizes.get(l, 1), n) if n else 0
    return sizes


def _diagonals(x, labels):
    labels = list(labels)
    for l in list(dict.fromkeys(labels)):
        while labels.count(l) > 1:
            i = labels.index(l)
            j = labels.index(l, i + 1)
            x = x.diagonal(0, i, j)
            labels = [m for k, m in enumerate(labels) if k not in (i, j)] + [l]
    return x, labels


def _pair(a, la, b, lb, keep, sizes):
    """Two operands to one: shared kept labels are batch axes, shared others are summed by a matrix product."""
    a, la = _presum(a, la, set(lb) | keep)
    b, lb = _presum(b, lb, set(la) | keep)
    batch = [l for l in la if l in lb and l in keep]
    inner_ = [l for l in la if l in lb and l not in keep]
    ra, rb = [l for l in la if l not in lb], [l for l in lb if l not in la]
    size = lambda labels: [sizes[l] for l in labels]
    full = lambda x, lx, order: expand(permute(x, [lx.index(l) for l in order]), size(order))
    if not inner_:
        left = full(a, la, batch + ra).reshape(size(batch) + size(ra) + [1] * len(rb))
        return left * full(b, lb, batch + rb).reshape(size(batch) + [1] * len(ra) + size(rb)), batch + ra + rb
    flat = lambda *groups: [math.prod(size(g)) for g in groups]
    left = full(a, la, batch + ra + inner_).reshape(size(batch) + flat(ra, inner_))
    right = full(b, lb, batch + inner_ + rb).reshape(size(batch) + flat(inner_, rb))
    return matmul(left, right).reshape(size(batch) + size(ra) + size(rb)), batch + ra + rb


def _presum(x, labels, needed):
    gone = [i for i, l in enumerate(labels) if l not in needed]
    return (x.sum(gone), [l for l in labels if l in needed]) if gone else (x, labels)


# -- convolution -----------------------------------------------------------------------------------------------------
CONV = Gradient("ConvolutionBackward0", c.conv.vjp)
CONV_T = Gradient("ConvolutionBackward0", c.conv_input_grad.vjp)


def each(value, n, name) -> tuple[int, ...]:
    """One number for each of n spatial axes."""
    if isinstance(value, int):
        return (value,) * n
    value = tuple([whole(v) for v in value])
    if len(value) == 1:
        return value * n
    if len(value) != n:
        raise RuntimeError(f"expected {name} to be a single integer value or a list of {n} values to match the convolution "
                           f"dimensions, but got {name}={list(value)}")
    return value


def _check_conv(x, w, bias, n, groups, transposed):
    if w.dim() != n + 2:
        raise RuntimeError(f"weight should have at least {n + 2} dimensions, but got {w.dim()}")
    if x.dim() not in (n + 1, n + 2):
        raise RuntimeError(f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to conv{'_transpose' * transposed}{n}d, "
                           f"but got input of size: {list(x.shape)}")
    channels = x.shape[-n - 1]
    expected = w.shape[0] if transposed else w.shape[1] * groups
    if channels != expected:
        raise RuntimeError(f"Given {'transposed=1' if transposed else f'groups={groups}'}, weight of size {list(w.shape)}, "
                           f"expected input{list(x.shape)} to have {expected} channels, but got {channels} channels instead")
    _check_conv_dtypes(x, w, bias)
    outputs = w.shape[1] * groups if transposed else w.shape[0]
    if bias is not None and tuple(bias.shape) != (outputs,):
        raise RuntimeError(f"Given {'transposed=1, ' * transposed}weight of size {list(w.shape)}, expected bias to be "
                           f"1-dimensional with {outputs} elements, but got bias of size {list(bias.shape)} instead")
    if not transposed and w.shape[0] % groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got "
                           f"weight of size {list(w.shape)} instead")


def _check_conv_dtypes(x, w, bias):
    from .support import legacy_name
    if bias is not None and x.dtype is not bias.dtype:
        a, b = (legacy_name(t.dtype).lower() for t in (x, bias))
        raise RuntimeError(f"Input type ({a}) and bias type ({b}) should be the same")
    if x.dtype is not w.dtype:
        a, b = (legacy_name(t.dtype) for t in (x, w))
        raise RuntimeError(f"expected scalar type {a} but found {b}")


def conv(x, w, bias=None, stride=1, padding=0, dilation=1, groups=1, *, n):
    """n-dimensional convolution of (N, C, *) or (C, *) with (O, C / groups, *)."""
    _check_conv(x, w, bias, n, groups, False)
    stride, dilation = each(stride, n, "stride"), each(dilation, n, "dilation")
    if isinstance(padding, str):
        x, padding = _named_padding(x, w, padding, stride, dilation, n)
    padding = each(padding, n, "padding")
    if min(dilation) <= 0:
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")
    if min(padding) < 0:
        raise RuntimeError("negative padding is not supported")
    batched = x.dim() == n + 2
    x = x if batched else unsqueeze(x, 0)
    for m, k, s, p, d in zip(x.shape[2:], w.shape[2:], stride, padding, dilation):
        if s <= 0:
            raise RuntimeError("non-positive stride is not supported")
        if m + 2 * p < d * (k - 1) + 1:
            image = " x ".join(str(a + 2 * b) for a, b in zip(x.shape[2:], padding))
            kernel = " x ".join(str(b * (a - 1) + 1) for a, b in zip(w.shape[2:], dilation))
            raise RuntimeError(f"Calculated padded input size per channel: ({image}). Kernel size: ({kernel}). "
                               "Kernel size can't be greater than actual input size")
    y = apply(c.conv, (x, w), c.geometry(stride, padding, dilation, groups), CONV)
    return _convolved(y, x, w, bias, groups, n, batched)


def _convolved(y, x, w, bias, groups, n, batched):
    """A convolution's result with its bias, lying as PyTorch's does."""
    if bias is not None:
        y = named(y + bias.reshape(-1, *[1] * n), "ConvolutionBackward0")
    if n == 2 or n == 3 and not _is_packed_volume(x, w, groups):
        y = like_images(y, x, w)
    return y if batched else y.squeeze(0)


def _is_packed_volume(x, w, groups):
    """Whether PyTorch computes this convolution of volumes by its own code, which leaves results packed, not by oneDNN."""
    if x.dtype is not dtypes.float32:
        return x.dtype is not dtypes.bfloat16
    return groups == 1 and x.shape[0] == 1 and min(w.shape[-2:]) <= 3 and math.prod(x.shape[:4]) <= 20480


def _named_padding(x, w, name, stride, dilation, n):
    if name == "valid":
        return x, 0
    if name != "same":
        raise RuntimeError(f"Invalid padding string: '{name}'")
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for d, k in zip(dilation, w.shape[2:])]
    if all(t % 2 == 0 for t in total):
        return x, tuple(t // 2 for t in total)
    from .pad import constant_pad
    pads = [v for t in reversed(total) for v in (0, t % 2)]
    return constant_pad(x, pads, 0), tuple(t // 2 for t in total)


def conv_transpose(x, w, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1, *, n):
    """The transpose of convolution: (N, C, *) with (C, O / groups, *) to a larger image."""
    _check_conv(x, w, bias, n, groups, True)
    stride, dilation, padding, extra = (each(v, n, name) for v, name in (
        (stride, "stride"), (dilation, "dilation"), (padding, "padding"), (output_padding, "output_padding")))
    if min(padding) < 0:
        raise RuntimeError("negative padding is not supported")
    for e, s, d in zip(extra, stride, dilation):
        if e >= s and e >= d:
            raise RuntimeError("output padding must be smaller than either stride or dilation, but got output_padding_"
                               f"height: {e} stride_height: {s} dilation_height: {d}")
    batched = x.dim() == n + 2
    x = x if batched else unsqueeze(x, 0)
    spatial = tuple((m - 1) * s - 2 * p + d * (k - 1) + e + 1
                    for m, s, p, d, k, e in zip(x.shape[2:], stride, padding, dilation, w.shape[2:], extra))
    size = (w.shape[1] * groups, *spatial)
    y = apply(c.conv_input_grad, (x, w), dict(size=size, **c.geometry(stride, padding, dilation, groups)), CONV_T)
    return _convolved(y, x, w, bias, groups, n, batched)


@recalled("input weight bias?")
def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return conv(input, weight, bias, stride, padding, dilation, groups, n=1)


@recalled("input weight bias?")
def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return conv(input, weight, bias, stride, padding, dilation, groups, n=2)


@recalled("input weight bias?")
def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return conv(input, weight, bias, stride, padding, dilation, groups, n=3)


@recalled("input weight bias?")
def conv_transpose1d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    return conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation, n=1)


@recalled("input weight bias?")
def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    return conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation, n=2)


@recalled("input weight bias?")
def conv_transpose3d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    return conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation, n=3)


listed(globals())
