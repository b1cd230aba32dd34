"""Operations of the user's: the same programs under PyTorch and rushlight."""
import importlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import rushlight                # noqa: E402


def cubes(T, ns):
    """x ** 3 by NumPy, with a gradient and a rule for vmap."""
    L = importlib.import_module(f"{T.__name__}.library")

    def cube(x, scale=1.0):
        return T.from_numpy(np.asarray(x.numpy() ** 3 * scale))
    cube.__annotations__ = {"x": T.Tensor, "scale": float, "return": T.Tensor}
    op = L.custom_op(f"{ns}::cube", cube, mutates_args=())
    op.register_fake(lambda x, scale=1.0: T.empty_like(x))

    def setup(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])
        ctx.scale = inputs[1]
    op.register_autograd(lambda ctx, g: (g * 3 * ctx.saved_tensors[0] ** 2 * ctx.scale, None), setup_context=setup)
    op.register_vmap(lambda info, in_dims, x, scale=1.0: (op(x, scale), in_dims[0]))
    return op


def called(T):
    op = cubes(T, "mine")
    x = T.tensor([1., 2.], requires_grad=True)
    op(x, 2.0).sum().backward()
    named = T.ops.mine.cube(x.detach()), T.ops.mine.cube.default(x.detach(), scale=3.0), op(x.detach())
    return x.grad.tolist(), [y.tolist() for y in named], str(T.ops.mine.cube.default), op(x).requires_grad


def batched(T):
    op = cubes(T, "batched")
    x = T.arange(6.).reshape(2, 3)
    return T.func.vmap(op)(x).tolist(), T.func.vmap(op, in_dims=1, out_dims=1)(x).tolist()


def written(T):
    L = importlib.import_module(f"{T.__name__}.library")

    def fill(x, value):
        x.numpy()[...] = value
    fill.__annotations__ = {"x": T.Tensor, "value": float, "return": None}
    op = L.custom_op("written::fill", fill, mutates_args={"x"})
    x = T.zeros(2)
    op(x, 3.0)
    return x.tolist(), L.infer_schema(fill, mutates_args={"x"})


def libraries(T):
    L = importlib.import_module(f"{T.__name__}.library")
    lib = L.Library("shop", "DEF")
    found = [lib.define("twice(Tensor x, *, int n=2) -> Tensor"), lib.define("plus(Tensor x, Tensor y) -> Tensor")]
    lib.impl("twice", lambda x, *, n=2: x * n, "CompositeImplicitAutograd")
    lib.impl("plus", lambda x, y: x + y, "CPU")
    L.define("shop::minus", "(Tensor x, Tensor y) -> Tensor")
    L.impl("shop::minus", "cpu", lambda x, y: x - y)
    x = T.ones(2, requires_grad=True)
    T.ops.shop.twice(x, n=5).sum().backward()
    y = x.detach()
    return found, x.grad.tolist(), T.ops.shop.plus(y, y).tolist(), T.ops.shop.minus(y, y).tolist(), hasattr(T.ops.shop, "none")


def unregistered(T):
    L = importlib.import_module(f"{T.__name__}.library")

    def half(x):
        return x / 2
    half.__annotations__ = {"x": T.Tensor, "return": T.Tensor}
    op = L.custom_op("bare::half", half, mutates_args=())
    y = op(T.ones(1, requires_grad=True))
    with pytest.raises(RuntimeError, match="no autograd formula was registered"):
        y.backward()
    with pytest.raises(ValueError):
        L.custom_op("nameless", half, mutates_args=())
    return y.tolist(), y.requires_grad


def of_aten(T):
    x = T.tensor([[1., -2.], [3., 4.]])
    a = T.ops.aten
    values = [a.add.Tensor(x, x), a.mm(x, x), a.relu.default(x), a.t(x), a.sum.dim_IntList(x, [0]), a.linalg_inv(x)]
    return [np.round(v.numpy(), 5).tolist() for v in values], str(a.add.Tensor), repr(a.mm.default), a.mm.default.__name__, a.mm == a.mm, hasattr(a, "no_op")


def dispatched(T):
    D = importlib.import_module(f"{T.__name__}.utils._python_dispatch")
    seen = []

    class Log(D.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))
    x = T.ones(2, 2)
    with Log():
        y = T.mm(x, x).relu() + x
    return seen, y.tolist()


def wrappers(T):
    class Wrapped(T.Tensor):
        @staticmethod
        def __new__(cls, inner):
            return T.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

        def __init__(self, inner):
            self.inner = inner

        __torch_function__ = T._C._disabled_torch_function_impl

        @classmethod
        def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
            seen.append(str(func))
            opened = [a.inner if isinstance(a, Wrapped) else a for a in args]
            return Wrapped(func(*opened, **(kwargs or {})))
    seen = []
    x = Wrapped(T.ones(2, 2))
    y = T.mm(x, x) + x
    return seen, type(y).__name__, y.inner.tolist(), tuple(y.shape)


PROGRAMS = (called, batched, written, libraries, unregistered, of_aten, dispatched, wrappers)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_same_answers(program):
    assert program(rushlight) == program(torch)


def test_operations_go_with_their_library():
    from rushlight.library import Library
    with Library("gone", "DEF") as lib:
        lib.define("one(Tensor x) -> Tensor")
        assert hasattr(rushlight.ops.gone, "one")
        with pytest.raises(NotImplementedError, match="gone::one"):
            rushlight.ops.gone.one(rushlight.ones(1))
    assert not hasattr(rushlight.ops.gone, "one")
