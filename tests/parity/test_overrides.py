"""Subclasses of Tensor, objects with __torch_function__ and modes: the same programs under PyTorch and rushlight."""
import copy
import importlib
import io
import os
import pickle
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
import rushlight                # noqa: E402


def room(T, name):
    return importlib.import_module(f"{T.__name__}.{name}")


def kinds(*values):
    return [type(v).__name__ for v in values]


def marked(T):
    class Marked(T.Tensor):
        pass
    return Marked


def results(T):
    x, p = T.arange(6.).reshape(2, 3).as_subclass(marked(T)), T.ones(2, 3)
    values = [x + 1, p + x, 2 - x, x @ p.T, x.T, x[0], x.sum(), T.cat([p, x]), T.nn.functional.relu(x), x > 1, x.to(T.float64),
              T.zeros_like(x), x.new_zeros(2), x.clone(), x.detach(), x.data, T.where(x > 1, x, p), T.einsum("ij->i", x),
              T.fft.fft(x), T.linalg.norm(x), x.max(0)[0], x.split(1)[0], T.nn.Linear(3, 2)(x), x.shape, x.size(), x.dim(),
              T.nn.LSTM(3, 2)(x)[0], T.nn.GRU(3, 2)(x)[1], x.tolist(), T.stack([x, x]), x.float(), T.nn.Parameter(p) + 1, T.tensor(x.tolist()), x.numpy().sum(), len(x)]
    return kinds(*values), (x + 1).tolist()


def gradients(T):
    M = marked(T)
    x = T.arange(3.).as_subclass(M).requires_grad_()
    y = (x * x).sum()
    y.backward()
    return kinds(y, x.grad, *T.autograd.grad((x ** 3).sum(), x)), x.grad.tolist()


def with_attributes(T):
    class Named(T.Tensor):
        @staticmethod
        def __new__(cls, data, name="", requires_grad=False):
            return T.Tensor._make_subclass(cls, T.as_tensor(data), requires_grad)

        def __init__(self, data, name="", requires_grad=False):
            self.name_ = name
    x = Named([1., 2.], "a", True)
    return kinds(x, x + 1), x.name_, hasattr(x + 1, "name_"), isinstance(x, T.Tensor), x.requires_grad, \
        repr(Named([1., 2.])), repr(x + 1)


def logged(T):
    names = []

    class Logged(T.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            names.append(func.__name__)
            return super().__torch_function__(func, types, args, kwargs or {})
    x = T.ones(2, 2).as_subclass(Logged)
    T.nn.functional.softmax(T.nn.functional.linear(x, T.ones(2, 2)) * 2 - x, dim=-1).mean()
    x.add_(1)
    x[0]
    return names


def duck(T):
    handled = {}

    class Scalar:
        def __init__(self, n, value):
            self.n, self.value = n, value

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if func not in handled or not all(issubclass(t, (T.Tensor, Scalar)) for t in types):
                return NotImplemented
            return handled[func](*args, **(kwargs or {}))
    handled[T.mean] = lambda d: d.value / d.n
    handled[T.add] = lambda a, b, alpha=1: (kinds(a, b), alpha)
    handled[T.stack] = lambda xs, dim=0: kinds(*xs)
    handled[T.nn.functional.linear] = lambda x, w, b=None: "linear"
    handled[T.linalg.norm] = lambda x, ord=None: "norm"
    d = Scalar(2, 3.)
    found = [T.mean(d), T.add(d, 1), T.add(T.ones(1), d, alpha=2), T.stack([T.ones(1), d]), T.nn.Linear(1, 1)(d), T.linalg.norm(d)]
    for call in (lambda: T.sum(d), lambda: T.nn.functional.softmax(d, dim=0)):
        with pytest.raises(TypeError, match="all __torch_function__ handlers returned|no implementation found"):
            call()
    return found


def modes(T):
    seen = []

    class Log(room(T, "overrides").TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func.__name__)
            return func(*args, **(kwargs or {}))

    class Twice(room(T, "overrides").TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            y = func(*args, **(kwargs or {}))
            return y * 2 if func is T.ones else y
    with Log(), Twice():
        x = T.ones(2)
        y = (x + 1).sum()
    z = T.ones(2) + 1
    return seen, x.tolist(), y.item(), z.tolist()


def switches(T):
    x = T.ones(2).as_subclass(marked(T))
    with T._C.DisableTorchFunctionSubclass():
        y = x + 1

    class Off(T.Tensor):
        __torch_function__ = T._C._disabled_torch_function_impl
    o = room(T, "overrides")
    return kinds(y, x + 1, T.ones(2).as_subclass(Off) + 1), [o.has_torch_function((v,)) for v in (x, y, T.nn.Parameter(y))], \
        [o.is_tensor_like(v) for v in (x, y, 1)]


def own_functions(T):
    o = room(T, "overrides")

    def scaled(x, by=2):
        if o.has_torch_function_unary(x):
            return o.handle_torch_function(scaled, (x,), x, by=by)
        return x * by

    @o.wrap_torch_function(lambda x: (x,))
    def shifted(x):
        return x + 1

    class Own:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func.__name__, len(args), sorted(kwargs or {})
    return scaled(Own()), shifted(Own()), scaled(T.ones(1)).item(), shifted(T.ones(1)).item()


def names(T):
    o = room(T, "overrides")
    return [o.resolve_name(f) for f in (T.add, T.nn.functional.relu, T.linalg.norm, T.Tensor.T.__get__, T.Tensor.add_)], \
        [f in o.get_ignored_functions() for f in (T.zeros, T.is_tensor, T.mean)], \
        [o.is_tensor_method_or_property(f) for f in (T.Tensor.add_, T.Tensor.T.__get__, T.nn.functional.relu)], \
        T.nn.functional.relu in o.get_overridable_functions()[T.nn.functional]


PROGRAMS = (results, gradients, with_attributes, logged, duck, modes, switches, own_functions, names)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_same_answers(program):
    assert program(rushlight) == program(torch)


class One(rushlight.Tensor):
    pass


class Two(rushlight.Tensor):
    pass


def test_classes_that_know_nothing_of_each_other():
    one, two = rushlight.ones(2).as_subclass(One), rushlight.ones(2).as_subclass(Two)
    with pytest.raises(TypeError, match="unsupported operand type"):
        one + two
    with pytest.raises(TypeError, match="Multiple dispatch failed for 'torch.add'"):
        rushlight.add(one, two)


def test_subclass_is_saved_with_its_attributes():
    x, file = rushlight.arange(3.).as_subclass(Kept), io.BytesIO()
    x.note = "kept"
    rushlight.save(x, file)
    file.seek(0)
    y = rushlight.load(file, weights_only=False)
    assert type(y) is Kept and y.note == "kept" and y.tolist() == [0, 1, 2]


class Kept(rushlight.Tensor):
    pass


def test_subclass_is_pickled_with_its_attributes():
    x = rushlight.arange(3.).as_subclass(Kept)
    x.note = {"a": 1}
    y = pickle.loads(pickle.dumps(x))
    z = copy.deepcopy(x)        # PyTorch wants a new_empty of the class's own for that
    assert type(y) is type(z) is Kept and y.note == z.note == {"a": 1} and y.tolist() == z.tolist() == [0, 1, 2]


FIRST = """
import rushlight as torch
class D:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return func
d = D()
assert ({call}) is {want}, {call}
assert torch.ones(1).add(1).item() == 2
"""


@pytest.mark.parametrize("call, want", [
    ("torch.add(d, 1)", "torch.add"), ("torch.mean(d)", "torch.mean"), ("torch.softmax(d, 0)", "torch.softmax"),
    ("torch.linalg.norm(d)", "torch.linalg.norm"), ("torch.einsum('i->', d)", "torch.einsum"),
    ("torch.ones(2) @ d", "torch.matmul"), ("torch.ones(2)[d]", "torch.Tensor.__getitem__"),
    ("torch.permute(d, (0,))", "torch.permute"), ("torch.exp(d)", "torch.exp")])
def test_the_first_stranger_of_a_process_is_asked(call, want):
    """Nothing is guarded before: the call itself finds out."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run([sys.executable, "-c", FIRST.format(call=call, want=want)], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": root})
    assert done.returncode == 0, done.stderr


def test_plain_programs_are_not_guarded():
    program = ("import rushlight as torch\nfrom rushlight.ops import overriding\ntorch.nn.Linear(2, 2)(torch.ones(1, 2)).sum()"
               ".backward()\nassert not overriding.is_armed()\n"
               "from rushlight.overrides import TorchFunctionMode\ncode = torch.add.__code__\n"
               "with TorchFunctionMode(): assert torch.add.__code__ is not code\nassert torch.add.__code__ is code")
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root})
    assert done.returncode == 0, done.stderr
