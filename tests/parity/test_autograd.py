"""Tape, aliasing and sharing against PyTorch: small programs that must show the same in both libraries."""
from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import rushlight

torch = pytest.importorskip("torch")
from tests.parity.oracle import differences, observe     # noqa: E402

torch.set_num_threads(1)
PROGRAMS = {}


def program(fn):
    PROGRAMS[fn.__name__] = fn
    return fn


@pytest.mark.parametrize("name", PROGRAMS_NAMES := [])
def test_program(name):
    import rushlight
    theirs = observe(torch, lambda T: PROGRAMS[name](T), [], 0)
    ours = observe(rushlight, lambda T: PROGRAMS[name](T), [], 0)
    found = differences(ours, theirs, 1e-5, names=False)
    assert not found, "\n".join(found)


def ramp(T, *shape, grad=False, dtype=None):
    n = int(np.prod(shape))
    x = T.arange(n, dtype=dtype or T.float64).reshape(shape) / 2 + 0.25
    return x.requires_grad_() if grad else x


def attempt(fn):
    """The result of a call, or the type and first words of what it raised."""
    try:
        return fn()
    except Exception as e:
        return type(e).__name__, " ".join(str(e).split()[:5])


# -- leaves, accumulation, modes ------------------------------------------------------------------------------
@program
def accumulation(T):
    x = ramp(T, 3, grad=True)
    for _ in range(3):
        (x * x).sum().backward()
    g = x.grad
    (x * 2).sum().backward()
    return x.grad, g is x.grad, x.is_leaf, x.grad.requires_grad, x.grad_fn is None


@program
def retain_graph(T):
    x = ramp(T, 3, grad=True)
    y = (x ** 3).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad, attempt(y.backward)


@program
def freed_graph(T):
    x = ramp(T, 3, grad=True)
    y = x.exp().sum()
    y.backward()
    return attempt(y.backward)


@program
def freed_graph_without_saved(T):
    x = ramp(T, 3, grad=True)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    return x.grad


@program
def create_graph(T):
    x = ramp(T, 3, grad=True)
    (g,) = T.autograd.grad((x ** 4).sum(), x, create_graph=True)
    (h,) = T.autograd.grad(g.sum(), x, create_graph=True)
    h.sum().backward()
    return g, h, x.grad


@program
def allow_unused(T):
    x, z = ramp(T, 2, grad=True), ramp(T, 2, grad=True)
    y = x.sum()
    return (attempt(lambda: T.autograd.grad(y, [x, z], retain_graph=True)), T.autograd.grad(y, [x, z], allow_unused=True, retain_graph=True)[1],
            T.autograd.grad(y, [x, z], materialize_grads=True)[1])


@program
def grad_of_non_scalar(T):
    x = ramp(T, 3, grad=True)
    return attempt(lambda: (x * 2).backward()), attempt(lambda: T.autograd.grad(x * 2, x)), attempt(lambda: T.ones(2).sum().backward())


@program
def grad_outputs(T):
    x = ramp(T, 2, 2, grad=True)
    y = x * x
    return T.autograd.grad(y, x, T.ones(2, 2, dtype=x.dtype), retain_graph=True)[0], attempt(lambda: T.autograd.grad(y, x, T.ones(3, dtype=x.dtype)))


@program
def grad_of_intermediate(T):
    x = ramp(T, 3, grad=True)
    y = x * 3
    z = y * y
    return T.autograd.grad(z.sum(), [y, x])


@program
def grad_of_itself(T):
    x = ramp(T, 1, grad=True)
    return T.autograd.grad(x, x)[0], T.autograd.grad([x.sum(), x.sum() * 2], [x])


@program
def backward_inputs(T):
    x, w = ramp(T, 2, grad=True), ramp(T, 2, grad=True)
    (x * w).sum().backward(inputs=[w])
    return x.grad, w.grad


@program
def backward_of_several(T):
    x = ramp(T, 2, grad=True)
    T.autograd.backward([x.sum(), (x * x)], [None, T.ones(2, dtype=x.dtype)])
    return x.grad


@program
def same_leaf_twice(T):
    x = ramp(T, 2, grad=True)
    (x * x + x / x + x - x).sum().backward()
    return x.grad


@program
def modes(T):
    x = ramp(T, 2, grad=True)
    out = [T.is_grad_enabled()]
    with T.no_grad():
        out += [(x * 2).requires_grad, T.is_grad_enabled()]
        with T.enable_grad():
            out.append((x * 2).requires_grad)
        with T.set_grad_enabled(True):
            out.append((x * 2).requires_grad)
        out.append((x * 2).requires_grad)
    T.set_grad_enabled(False)
    out.append((x * 2).requires_grad)
    T.set_grad_enabled(True)

    @T.no_grad()
    def plain(y):
        return y * 2

    @T.set_grad_enabled(False)
    def other(y):
        return y * 2

    @T.enable_grad()
    def taped(y):
        return y * 2

    @T.no_grad
    def bare(y):
        return y * 2
    out += [plain(x).requires_grad, other(x).requires_grad, bare(x).requires_grad, T.is_grad_enabled()]
    with T.no_grad():
        out.append(taped(x).requires_grad)
    return out


@program
def modes_in_generators(T):
    x = ramp(T, 2, grad=True)

    @T.no_grad()
    def generate():
        for _ in range(2):
            yield (x * 2).requires_grad
    return [(flag, (x * 2).requires_grad) for flag in generate()]


@program
def modes_after_errors(T):
    def fail():
        with T.no_grad():
            raise ValueError("no")
    return attempt(fail), T.is_grad_enabled()


@program
def inference(T):
    x = ramp(T, 2, grad=True)
    with T.inference_mode():
        y = x * 2
        inner = (T.is_inference_mode_enabled(), T.is_grad_enabled(), y.requires_grad, y.is_inference())
    return inner[:3], x.is_inference(), (y * 2).sum().item(), y.requires_grad


@program
def no_grad_results_are_leaves(T):
    x = ramp(T, 2, grad=True)
    with T.no_grad():
        y = x * 2
    y.requires_grad_()
    (y * y).sum().backward()
    return y.grad, x.grad, y.is_leaf


@program
def requires_grad_errors(T):
    x = ramp(T, 2, grad=True)
    y = x * 2
    return (attempt(lambda: T.arange(3).requires_grad_()), attempt(lambda: y.requires_grad_(False)), attempt(lambda: setattr(y, "requires_grad", False)), attempt(lambda: T.tensor([1], requires_grad=True)),
            x.requires_grad_(False).requires_grad)


@program
def grad_assignment(T):
    x = ramp(T, 2, grad=True)
    out = [attempt(lambda: setattr(x, "grad", T.ones(3, dtype=x.dtype))), attempt(lambda: setattr(x, "grad", T.ones(2))), attempt(lambda: setattr(x, "grad", 1)), attempt(lambda: setattr(x, "grad", x))]
    x.grad = T.ones(2, dtype=x.dtype)
    (x * 3).sum().backward()
    out.append(x.grad.clone())
    x.grad = None
    out.append(x.grad)
    x.grad = T.zeros(2, dtype=x.dtype)
    del x.grad
    return (*out, x.grad)


@program
def zero_grad_in_place(T):
    x = ramp(T, 2, grad=True)
    (x * 3).sum().backward()
    g = x.grad
    x.grad.zero_()
    (x * 2).sum().backward()
    return g, g is x.grad


@program
def gradients_of_two_leaves_are_apart(T):
    a, b = ramp(T, 2, grad=True), ramp(T, 2, grad=True)
    (a + b).sum().backward()
    a.grad.add_(10)
    return a.grad, b.grad


@program
def grad_layout_of_transposed_leaf(T):
    x = T.ones(3, 2, dtype=T.float64).t().requires_grad_()
    (x * 2).sum().backward()
    return x.grad, x.is_leaf


@program
def non_leaf_grad(T):
    x = ramp(T, 2, grad=True)
    y = x * 2
    y.retain_grad()
    z = y * 3
    z.sum().backward()
    return y.grad, z.grad, x.grad, y.retains_grad, attempt(lambda: T.ones(2).retain_grad()), y.is_leaf


@program
def retain_grad_twice(T):
    x = ramp(T, 2, grad=True)
    y = x * 2
    y.retain_grad()
    y.retain_grad()
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    return y.grad, x.grad


# -- hooks -------------------------------------------------------------------------------------------------------
@program
def hooks_in_order(T):
    x, seen = ramp(T, 2, grad=True), []
    y = x * 2
    y.register_hook(lambda g: seen.append(("first", g.tolist())))
    y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: seen.append(("third", g.tolist())))
    x.register_hook(lambda g: seen.append(("leaf", g.tolist())))
    y.sum().backward()
    return seen, x.grad


@program
def hook_removed(T):
    x = ramp(T, 2, grad=True)
    h = x.register_hook(lambda g: g * 100)
    (x * 2).sum().backward()
    h.remove()
    h.remove()
    (x * 2).sum().backward()
    return x.grad


@program
def hook_errors(T):
    x = ramp(T, 2, grad=True)
    y = x * 2
    y.register_hook(lambda g: g.sum())
    return attempt(lambda: T.ones(2).register_hook(print)), attempt(lambda: y.sum().backward())


@program
def hooks_that_give_something_else(T):
    """Tensor hooks and module hooks that return what is no gradient: another kind, dtype, shape or number."""
    x, found = ramp(T, 3, grad=True), []
    for bad in (lambda g: 3, lambda g: g.float(), lambda g: g[:2]):
        y = x * 2
        y.register_hook(bad)
        found.append(attempt(lambda: y.sum().backward()))
    for bad in (lambda g: (g[0][:1],), lambda g: (g[0], g[0]), lambda g: 3):
        y = x * 2
        y.grad_fn.register_prehook(bad)
        found.append(attempt(lambda: y.sum().backward()))
    for bad in (lambda i, o: (i[0][:1], None), lambda i, o: i + i, lambda i, o: 3):
        y = x * 2
        y.grad_fn.register_hook(bad)
        found.append(attempt(lambda: y.sum().backward()))
    for bad in (lambda m, i, o: (i[0], i[0]), lambda m, i, o: 3, lambda m, i, o: (3,)):
        layer = T.nn.Linear(3, 2).double()
        layer.register_full_backward_hook(bad)
        found.append(attempt(lambda: layer(x).sum().backward()))
    layer = T.nn.Linear(3, 2).double()
    layer.register_full_backward_hook(lambda m, i, o: (i[0][:1],))
    sized = attempt(lambda: layer(x).sum().backward())
    return found, sized[0], sized[1].split()[2:], attempt(lambda: T.ones(1).register_post_accumulate_grad_hook(print))


@program
def hooks_on_several_gradients(T):
    a, b, seen = ramp(T, 2, grad=True), ramp(T, 2, grad=True), []
    hook = T.autograd.graph.register_multi_grad_hook
    hook((a, b), lambda gs: seen.append([g if g is None else g.tolist() for g in gs]))
    hook((a, b), lambda g: seen.append(g.tolist()), mode="any")
    (a * b).sum().backward()
    (a * 2).sum().backward()
    return seen, attempt(lambda: hook((a,), print, mode="some"))


@program
def hooks_on_saved_values_are_forbidden(T):
    graph = T.autograd.graph

    def within(outer, inner):
        with outer, inner:
            return "nothing"
    hooks = graph.saved_tensors_hooks(lambda x: x, lambda x: x)
    none = lambda: graph.disable_saved_tensors_hooks("not here")
    return (attempt(lambda: within(hooks, none())), attempt(lambda: within(none(), hooks)), within(none(), none()),
            within(hooks, hooks))


@program
def saved_values_by_name(T):
    x = ramp(T, 2, grad=True)
    y, z = x.exp(), x * x
    found = y.grad_fn._saved_result, z.grad_fn._saved_self is x, z.grad_fn._saved_other is x, hasattr(y.grad_fn, "_saved_self")
    y.sum().backward()
    return found, attempt(lambda: y.grad_fn._saved_result)


@program
def hook_and_retain_grad(T):
    x = ramp(T, 2, grad=True)
    y = x * 2
    y.register_hook(lambda g: g * 5)
    y.retain_grad()
    y.register_hook(lambda g: g * 7)
    y.sum().backward()
    return y.grad, x.grad


@program
def post_accumulate(T):
    x, seen = ramp(T, 2, grad=True), []
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    return seen, attempt(lambda: (x * 2).register_post_accumulate_grad_hook(print))


@program
def node_hooks(T):
    x, seen = ramp(T, 2, grad=True), []
    y = x * 2
    y.grad_fn.register_hook(lambda gi, go: seen.append((len(gi), go[0].tolist())))
    y.grad_fn.register_prehook(lambda go: (go[0] * 3,))
    y.sum().backward()
    return seen, x.grad


@program
def hook_with_autograd_grad(T):
    x, seen = ramp(T, 2, grad=True), []
    x.register_hook(lambda g: seen.append(g.tolist()) or g * 2)
    return T.autograd.grad((x * 3).sum(), x)[0], seen, x.grad


@program
def graph_names(T):
    x = ramp(T, 2, grad=True)
    y = (x * 2).exp().sum()
    fn = y.grad_fn
    names = []
    while fn is not None and fn.next_functions:
        names.append(fn.name())
        fn = fn.next_functions[0][0]
    return names, fn.name(), fn.variable is x


# -- in place and views -----------------------------------------------------------------------------------------------
@program
def in_place_on_leaf(T):
    x = ramp(T, 3, grad=True)
    out = [attempt(lambda: x.add_(1)), attempt(lambda: x[0].zero_()), attempt(lambda: x.__setitem__(0, 1.0)), attempt(lambda: x.view(-1).mul_(2))]
    with T.no_grad():
        x.add_(1)
        x[0] = 7
    return (*out, x, x._version)


@program
def in_place_history(T):
    x = ramp(T, 3, grad=True)
    y = x * 2
    y.mul_(x)
    y.add_(1)
    y.sum().backward()
    return y, x.grad


@program
def in_place_kinds(T):
    out = []
    for name, args in [("add_", (1,)), ("mul_", (2.5,)), ("sub_", (1,)), ("div_", (2,)), ("pow_", (2,)), ("exp_", ()), ("neg_", ()), ("abs_", ()), ("sqrt_", ()), ("clamp_", (0.5, 1.0)), ("relu_", ()), ("sigmoid_", ()), ("tanh_", ()), ("zero_", ()),
                       ("fill_", (3.0,)), ("floor_", ()), ("round_", ()), ("reciprocal_", ()), ("log_", ()), ("t_", ()), ("unsqueeze_", (0,)), ("clamp_min_", (1.0,)), ("sin_", ()), ("lerp_", (T.ones(3, dtype=T.float64), 0.3)), ("addcmul_", (T.ones(3, dtype=T.float64), T.ones(3, dtype=T.float64))), ("square_", ())]:
        x = ramp(T, 3, grad=True)
        y = x * 2
        z = getattr(y, name)(*args)
        z.sum().backward()
        out.append((name, z is y, y, x.grad, y._version))
    return out


@program
def in_place_dtypes(T):
    i = T.arange(3)
    return (attempt(lambda: i.add_(1.5)), attempt(lambda: i.div_(2)), attempt(lambda: i.mul_(2)), attempt(lambda: i.add_(T.ones(2, 3, dtype=T.int64))), attempt(lambda: (i > 0).add_(1)), attempt(lambda: i.clamp_(min=1)), attempt(lambda: i.eq_(1)), attempt(lambda: T.ones(3).add_(T.ones(3, dtype=T.float64))),
            attempt(lambda: i.exp_()), attempt(lambda: T.ones(3).eq_(1.0)))


@program
def in_place_overlap(T):
    x = T.ones(1, 3).expand(2, 3)
    return attempt(lambda: x.add_(1)), attempt(lambda: x.__setitem__(0, 1.0)), attempt(lambda: T.zeros(3).as_strided((2, 2), (1, 1)).mul_(2))


@program
def saved_then_modified(T):
    x = ramp(T, 3, grad=True)
    y = x * 2
    z = y.exp()
    z.add_(1)
    w = (y * y).sum()
    y.add_(1)
    return attempt(lambda: z.sum().backward()), attempt(w.backward)


@program
def saved_input_modified_under_no_grad(T):
    w, x = ramp(T, 3, grad=True), ramp(T, 3, grad=True)
    y = (w * x).sum()
    with T.no_grad():
        w.sub_(0.1)
    return attempt(y.backward)


@program
def unsaved_then_modified(T):
    x = ramp(T, 3, grad=True)
    y = x * 2
    z = y + 1
    y.mul_(5)
    (z.sum() + y.sum()).backward()
    return x.grad


@program
def versions(T):
    x = ramp(T, 4)
    v = x[1:]
    out = [x._version, v._version]
    v.add_(1)
    out += [x._version, v._version]
    x.zero_()
    d = x.detach()
    d.add_(1)
    out += [x._version, v._version, d._version]
    x.data.add_(1)
    out += [x._version]
    x.view(2, 2)[0, 0] = 5
    return (*out, x._version, x, v)


@program
def bases(T):
    x = ramp(T, 4)
    v = x[1:]
    w = v.view(3, 1).t()
    return (v._base is x, w._base is x, x._base, x._is_view(), w._is_view(), x.detach()._base is x, (x + 1)._base, x.data._base, w.storage_offset(), x.reshape(2, 2)._base is x, x.clone()._base)


@program
def writes_through_views(T):
    x = ramp(T, 2, 3)
    x[0].add_(10)
    x[:, 1] = -1
    x.t()[2].mul_(2)
    x.view(-1)[0:2].fill_(9)
    x.diagonal().zero_()
    x[0, 0] += 5
    x[x > 8] = 0
    x[[0, 1], [2, 2]] = 4
    a, b = x.split([1, 2], 1)
    b.add_(a)
    x.unsqueeze(0)[0, 1, 1] = 77
    for row in x:
        row[0] = 3
    return x, a, b


@program
def views_see_writes(T):
    x = ramp(T, 6)
    v, w, r = x[::2], x.view(2, 3), x.flip(0)
    e = x[:1].expand(3)
    x.mul_(2)
    return v, w, r, e, x.as_strided((2, 2), (1, 3))


@program
def copy_slices(T):
    x = ramp(T, 3, 4, grad=True)
    y = x * 1
    y[0].mul_(2)
    y[:, 1].add_(x[:, 0])
    y[1, 2] = x[0, 0] * 5
    y.t()[3].copy_(x[:, 1] ** 2)
    v = y.view(4, 3)
    v[2] = 0
    (y * T.arange(12, dtype=x.dtype).view(3, 4)).sum().backward()
    return y, x.grad, type(y.grad_fn).__name__


@program
def view_history_after_base_write(T):
    x = ramp(T, 4, grad=True)
    y = x * 1
    v = y[1:]
    y.mul_(3)
    z = v * 2
    z.sum().backward()
    return v, x.grad, type(v.grad_fn).__name__


@program
def view_of_view_written(T):
    x = ramp(T, 2, 3, grad=True)
    y = x * 1
    v = y.t()
    w = v[1:]
    w.mul_(x.t()[1:])
    (y.sum() + v.sum()).backward()
    return y, v, x.grad


@program
def base_written_by_detached(T):
    x = ramp(T, 3, grad=True)
    y = x * 1
    y.detach().mul_(10)
    y.sum().backward()
    return y, x.grad


@program
def detached_write_after_save(T):
    x = ramp(T, 3, grad=True)
    y = x.exp()
    y.detach().zero_()
    return attempt(lambda: y.sum().backward())


@program
def data_write_after_save(T):
    x = ramp(T, 3, grad=True)
    y = x.exp()
    y.data.zero_()
    y.sum().backward()
    return x.grad


@program
def view_under_no_grad(T):
    x = ramp(T, 3, grad=True)
    y = x * 1
    with T.no_grad():
        v = y[:2]
    return attempt(lambda: v.mul_(2)), v._base is y


@program
def write_of_untracked(T):
    x = ramp(T, 3, grad=True)
    y = x * 1
    y[1] = 4.0
    y[2:] = T.ones(1, dtype=x.dtype)
    z = x * 2
    z.zero_()
    z2 = x * 2
    z2.copy_(T.ones(3, dtype=x.dtype))
    (y.sum() + z.sum() + z2.sum()).backward()
    return y, z, z2, x.grad, z.requires_grad


@program
def write_tracked_into_plain(T):
    x, y = ramp(T, 2, grad=True), T.zeros(2, 2, dtype=T.float64)
    y[0] = x * 2
    y[1, 0] = x[1]
    y.sum().backward()
    return y, x.grad, y.requires_grad, y.is_leaf


@program
def loop_of_writes(T):
    x, out = ramp(T, 4, grad=True), T.zeros(4, dtype=T.float64)
    for i in range(4):
        out[i] = x[i] * i
    (out * out).sum().backward()
    return out, x.grad


@program
def detach_in_place(T):
    x = ramp(T, 2, grad=True)
    y = x * 2
    y.detach_()
    v = (x * 2)[:1]
    return y.requires_grad, y.is_leaf, attempt(v.detach_)


@program
def set_data(T):
    x = ramp(T, 3, grad=True)
    x.data = T.ones(2, dtype=T.float64)
    (x * 3).sum().backward()
    return x, x.grad, attempt(lambda: setattr(x, "data", 3)), x.data.requires_grad


@program
def data_shares(T):
    x = ramp(T, 3, grad=True)
    x.data[0] = 100
    d = x.detach()
    d[1] = 50
    return x, x._version, d.data_ptr() == x.data_ptr(), d.requires_grad


@program
def identities(T):
    x = ramp(T, 2, 3)
    return (x.contiguous() is x, x.to(T.float64) is x, x.double() is x, x.cpu() is x, x.detach() is x, x.t().contiguous() is x, x.requires_grad_() is x, x.view(2, 3) is x, x.expand(2, 3) is x, x.reshape(2, 3) is x, x.flatten(1) is x, x.add_ is x.add_, x.type(T.float64) is x, x.data is x, x.to("cpu") is x,
            x.squeeze() is x, x.T.T is x, x.float().float() is x, x.type_as(x) is x, T.as_tensor(x) is x, x.clone() is x, x.grad is None)


@program
def pointers(T):
    x = ramp(T, 2, 3)
    p = x.data_ptr()
    return (x.t().data_ptr() == p, x[1].data_ptr() - p, x.view(-1).data_ptr() == p, x.clone().data_ptr() == p, x.detach().data_ptr() == p, x.contiguous().data_ptr() == p, x[:, 1].storage_offset(), T.empty(0).data_ptr(), x.reshape(3, 2).data_ptr() == p,
            x.t().reshape(-1).data_ptr() == p, x.untyped_storage().data_ptr() == p, x.untyped_storage().nbytes())


@program
def swap_of_values(T):
    a, b = ramp(T, 2), ramp(T, 2) + 5
    a, b = b, a
    t = a.clone()
    a.copy_(b)
    b.copy_(t)
    a[0], a[1] = a[1].clone(), a[0].clone()
    return a, b


@program
def self_assignment(T):
    x = ramp(T, 4)
    x[:] = x
    x[1:] = x[:-1].clone()
    x.copy_(x)
    y = ramp(T, 2, 2)
    y += y.t().clone()
    y[0] = y[1]
    x[...] = 2 * x
    return x, y


@program
def clone_is_apart(T):
    x = ramp(T, 3)
    y = x.clone()
    z = x.clone()
    x.add_(1)
    y.mul_(2)
    return x, y, z


@program
def saved_before_in_place_chain(T):
    x = ramp(T, 3, grad=True)
    y = x.sigmoid()
    z = y * 2
    z += 1
    z *= x
    z -= y
    z /= 2
    z **= 2
    z.sum().backward()
    return z, x.grad


# -- sharing with NumPy --------------------------------------------------------------------------------------------
@program
def from_numpy_shares(T):
    a = np.arange(6.0).reshape(2, 3)
    x = T.from_numpy(a)
    y = x * 2
    a[0, 0] = 100
    z = x * 2
    x[1, 1] = -5
    x.t()[2, 0] = 9
    x.add_(1)
    return y, z, x, a.tolist(), x.data_ptr() == a.ctypes.data


@program
def numpy_shares(T):
    x = ramp(T, 2, 3)
    y = x + 1
    a = x.numpy()
    z = x + 1
    a[0, 0] = 50
    w = x + 1
    x[0, 1] = 60
    x.mul_(2)
    v = x.t().numpy()
    v[0, 1] = -3
    return y, z, w, x, a.tolist(), v.strides, a.dtype.name


@program
def numpy_of_views(T):
    x = ramp(T, 3, 4)
    a = x[1:, ::2].numpy()
    a += 1
    x.sum().item()
    b = x.numpy()
    return x, a.tolist(), b.tolist(), np.shares_memory(a, b), x.detach().numpy().flags.writeable


@program
def numpy_errors(T):
    x = ramp(T, 2, grad=True)
    return attempt(x.numpy), attempt(lambda: np.asarray(x)), attempt(lambda: T.ones(2, dtype=T.bfloat16).numpy()), x.detach().numpy().tolist(), x.numpy(force=True).tolist(), attempt(lambda: T.from_numpy([1])), attempt(lambda: T.from_numpy(np.array(["a"]))), attempt(lambda: T.from_numpy(np.arange(4)[::-1]))


@program
def as_tensor_shares(T):
    a = np.arange(3.0)
    x, y, z = T.as_tensor(a), T.tensor(a), T.as_tensor(a, dtype=T.float32)
    a[0] = 9
    return x, y, z, T.as_tensor([1, 2]), T.as_tensor(3.5), T.asarray(a)


@program
def numpy_functions(T):
    x = ramp(T, 3)
    return np.asarray(x).tolist(), np.array(x).tolist(), np.sum(x.numpy()).item(), np.exp(x).tolist() if not hasattr(np.exp(x), "detach") else np.exp(x), float(np.float64(2) * x[0]), (np.float64(2) * x), x * np.float32(2), (np.int64(3) + x)


@program
def dlpack(T):
    x = ramp(T, 3)
    a = np.from_dlpack(x)
    b = T.from_dlpack(np.arange(3.0))
    c = T.utils.dlpack.from_dlpack(x) if hasattr(T.utils, "dlpack") else x
    x.add_(1)
    return a.tolist(), b, c, x.__dlpack_device__()[1]


# -- copies and pickles ---------------------------------------------------------------------------------------------
@program
def deep_copies(T):
    x = ramp(T, 2, 2, grad=True)
    (x * 2).sum().backward()
    y = copy.deepcopy(x)
    y.grad.add_(1)
    both = copy.deepcopy([x, x])
    v = copy.deepcopy(ramp(T, 3, 4).t())
    return y, y.grad, x.grad, y.requires_grad, y.is_leaf, both[0] is both[1], attempt(lambda: copy.deepcopy(x * 2)), v.stride()


@program
def shallow_copies(T):
    x = ramp(T, 2)
    y = copy.copy(x)
    y.add_(1)
    return x, y, y is x


@program
def pickles(T):
    x = ramp(T, 2, 3, grad=True)
    y = pickle.loads(pickle.dumps(x))
    z = pickle.loads(pickle.dumps(ramp(T, 2, 3).t()))
    w = pickle.loads(pickle.dumps(T.ones(2, dtype=T.bfloat16)))
    return y, y.requires_grad, z, w, pickle.loads(pickle.dumps(T.float32)) is T.float32, pickle.loads(pickle.dumps(x.shape))


# -- Function ------------------------------------------------------------------------------------------------------------
def square_of(T):
    class Square(T.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale):
            ctx.save_for_backward(x)
            ctx.scale = scale
            return x * x * scale

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 2 * x * ctx.scale, None
    return Square


@program
def custom_function(T):
    x = ramp(T, 3, grad=True)
    y = square_of(T).apply(x, 3)
    (g,) = T.autograd.grad(y.sum(), x, create_graph=True)
    g.sum().backward()
    return y, g, x.grad, type(y.grad_fn).__name__


@program
def custom_function_of_several(T):
    class Two(T.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            ctx.mark_non_differentiable(z := (x > y))
            return x * y, x + y, z

        @staticmethod
        def backward(ctx, a, b, c):
            x, y = ctx.saved_tensors
            return a * y + b, a * x + b
    x, y = ramp(T, 2, grad=True), ramp(T, 2, grad=True)
    p, q, r = Two.apply(x, y)
    p.sum().backward()
    return p, q, r, x.grad, y.grad


@program
def custom_function_errors(T):
    class Wrong(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g, g

    class Bare(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1
    x = ramp(T, 2, grad=True)
    return attempt(lambda: Wrong.apply(x).sum().backward()), attempt(lambda: Bare.apply(x).sum().backward())


@program
def custom_function_dirty(T):
    class Double(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2
    x = ramp(T, 2, grad=True)
    y = x * 1
    z = Double.apply(y)
    z.sum().backward()
    return z, z is y, x.grad, y._version


@program
def custom_function_identity(T):
    class Same(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return -g
    x = ramp(T, 2, grad=True)
    y = Same.apply(x)
    y.sum().backward()
    return y is x, x.grad, x.is_leaf, y.requires_grad


@program
def custom_setup_context(T):
    class Cube(T.autograd.Function):
        @staticmethod
        def forward(x):
            return x ** 3

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return g * 3 * ctx.saved_tensors[0] ** 2
    x = ramp(T, 2, grad=True)
    Cube.apply(x).sum().backward()
    return x.grad


@program
def straight_through(T):
    x = ramp(T, 3, grad=True)
    y = x + (x.round() - x).detach()
    y.sum().backward()
    return y, x.grad


@program
def needs_input_grad(T):
    seen = []

    class Look(T.autograd.Function):
        @staticmethod
        def forward(ctx, a, b, c):
            return a * b

        @staticmethod
        def backward(ctx, g):
            seen.append(ctx.needs_input_grad)
            return g, None, None
    Look.apply(ramp(T, 2, grad=True), ramp(T, 2), 3).sum().backward()
    return seen


@program
def unused_output_gradients(T):
    seen = []

    class Pair(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, a, b):
            seen.append((a.tolist(), b.tolist()))
            return a + 2 * b
    x = ramp(T, 2, grad=True)
    Pair.apply(x)[1].sum().backward()
    return seen, x.grad


# -- making and converting ------------------------------------------------------------------------------------------------
@program
def constructors(T):
    return (T.tensor(3), T.tensor(2.5), T.tensor([1, 2]), T.tensor([[1.0, 2], [3, 4]]), T.tensor(True), T.tensor([]), T.tensor([[], []]), T.tensor([True, 2]), T.tensor([1, 2.5]), T.tensor(np.float32(3)), T.tensor(np.arange(3)), T.tensor([np.arange(2), np.arange(2)]), T.tensor([T.tensor(1), T.tensor(2)]),
            T.tensor((1, 2)), T.tensor(range(3)), T.tensor([1], dtype=T.float16), T.tensor(3, dtype=T.bool), T.tensor([1.7, -1.7], dtype=T.int64), T.Tensor([1, 2]), T.Tensor(2, 3).shape, T.Tensor().shape, T.FloatTensor([1, 2]), T.LongTensor([1, 2]), T.LongTensor(2).shape, T.BoolTensor([1, 0]), T.DoubleTensor([1]),
            T.IntTensor([1]).type(), T.ByteTensor([255]), T.HalfTensor([1]).dtype, T.scalar_tensor(3), T.full((2,), 3), T.full((2,), 3.0), T.full((2, 2), True), T.full((), 7), T.arange(5), T.arange(1, 2, 0.25), T.arange(5, 0, -2), T.arange(3.0), T.arange(0, 5, 2, dtype=T.float32), T.linspace(0, 1, 5), T.linspace(1, 10, 4, dtype=T.int64),
            T.logspace(0, 2, 3), T.eye(2, 3), T.eye(2, dtype=T.int64), T.zeros(2, 3), T.zeros((2,), dtype=T.int32), T.zeros([2, 0]), T.zeros(()), T.ones(2, 2, dtype=T.bool), T.empty(2, 0), T.zeros(T.Size([1, 2])), T.range(1, 3), T.zeros(size=(2,)), T.ones(3, out=T.empty(3)), T.empty_strided((2, 2), (1, 2)).stride(),
            T.tril_indices(2, 3), T.complex64 is not None, T.zeros(2, device="cpu"), T.zeros(2, device=T.device("cpu")).device)


@program
def constructor_errors(T):
    return (attempt(lambda: T.tensor([[1], [1, 2]])), attempt(lambda: T.tensor("a")), attempt(lambda: T.tensor(["a"])), attempt(lambda: T.tensor(None)), attempt(lambda: T.tensor([1, None])), attempt(lambda: T.zeros(-1)), attempt(lambda: T.zeros(2.5)), attempt(lambda: T.arange(1, 0)), attempt(lambda: T.arange(0, 1, 0)),
            attempt(lambda: T.full((2,), "a")), attempt(lambda: T.zeros(2, dtype="float")), attempt(lambda: T.tensor({})), attempt(lambda: T.tensor(object())), attempt(lambda: T.tensor([[1, 2], 3])), attempt(lambda: T.linspace(0, 1, -1)), attempt(lambda: T.device("nowhere")), attempt(lambda: T.LongTensor([1.5])),
            attempt(lambda: T.tensor(2 ** 70)), attempt(lambda: T.tensor(300, dtype=T.uint8)))


@program
def conversions(T):
    x = T.tensor([0.0, 1.7, -1.7, 300.0])
    return (x.int(), x.long(), x.bool(), x.half(), x.double(), x.short(), x.to(T.bfloat16), x.to(T.int8), T.tensor([1, 0, 255]).byte(), T.tensor(3).item(), T.tensor(2.5).item(), T.tensor(True).item(), T.tensor([[1.5]]).item(), x.tolist(), T.tensor([[1, 2]]).tolist(), T.tensor(1).tolist(), int(T.tensor(3.7)), float(T.tensor(3)),
            bool(T.tensor([0.0])), [1, 2, 3][T.tensor(1)], list(range(int(T.tensor(2)))), round(T.tensor(2.567).item(), 1), T.tensor(3) + 2, 2 ** T.tensor(3), T.tensor(7) // 2, -T.tensor(3), abs(T.tensor(-3)), ~T.tensor(True), T.tensor(5) % 3, divmod(7, 2), T.tensor(3) == 3, hash(T.tensor(3)) == hash(3),
            complex(T.tensor(2.0)), T.tensor(2.0).__index__ is not None, "%d" % T.tensor(3), f"{T.tensor(3.14159):.2f}", str(T.tensor(3)), f"{T.tensor([1, 2])}", x.type(), x.type("torch.IntTensor"), isinstance(x, T.FloatTensor), isinstance(x, T.DoubleTensor), T.typename(x), T.is_tensor(x), T.is_tensor(3), T.numel(x))


@program
def default_dtype(T):
    before = T.get_default_dtype()
    T.set_default_dtype(T.float64)
    out = [T.tensor(1.5).dtype, T.zeros(2).dtype, (T.arange(3) / 2).dtype, T.tensor(1) * 1.5, T.get_default_dtype(), T.ones(2).mean().dtype, T.rand(2).dtype]
    T.set_default_tensor_type(T.FloatTensor)
    T.set_default_dtype(before)
    return (*out, T.tensor(1.5).dtype, attempt(lambda: T.set_default_dtype(T.int64)), (T.arange(3) / 2).dtype)


@program
def sizes(T):
    x = ramp(T, 2, 3)
    s = x.shape
    return (s == (2, 3), s[0], s[-1], s[:1], list(s), s.numel(), len(s), s + (1,), repr(s), x.size(0), x.size(), s[::-1], isinstance(s, tuple), T.Size([1, 2]), T.Size((1,)) + T.Size((2,)), hash(s) == hash((2, 3)), tuple(s), x.ndim, (*s,))


@program
def attributes(T):
    x = ramp(T, 2)
    x.name_ = "mine"
    return x.name_, x.layout == T.strided, str(x.layout), x.is_cpu, x.names if False else 0, x.is_sparse, x.is_quantized, x.is_meta, x.device.type, x.device == T.device("cpu"), str(x.dtype), repr(x.device), x.dtype.itemsize, x.dtype.is_floating_point, T.int64.is_signed, T.finfo(T.float32).eps, T.iinfo(T.int8).max, x.is_conj(), x.is_neg(), x.dense_dim(), x.sparse_dim() if False else 0


@program
def iteration(T):
    x = ramp(T, 2, 3)
    a, b = x
    (c,), (d,) = T.ones(2, 1)
    return a, b, [r.sum().item() for r in x], list(zip(x[0].tolist(), x[1])), len(x), list(reversed(x)), sum(x[0]), max(x[0]), min(x[1]), sorted(x[0].tolist()), [i for i, _ in enumerate(x)], 0.25 in x, dict(enumerate(x[0].tolist())), any(x[0] > 1), all(x[0] > -1), T.stack(list(x)), [*x[0]]


@program
def out_forms(T):
    x, o = ramp(T, 3), T.empty(3, dtype=T.float64)
    p = T.add(x, 1, out=o)
    q = T.empty(0, dtype=T.float64)
    T.exp(x, out=q)
    v = T.zeros(2, 3, dtype=T.float64)
    T.mul(x, 2, out=v[1])
    m = T.empty(2, 2, dtype=T.float64)
    T.mm(ramp(T, 2, 2), ramp(T, 2, 2), out=m)
    values, indices = T.empty(0, dtype=T.float64), T.empty(0, dtype=T.int64)
    T.max(ramp(T, 2, 3), 1, out=(values, indices))
    s = T.empty(0, dtype=T.float64)
    T.sum(x, out=s) if False else T.cat([x, x], out=s)
    return p is o, o, q, v, m, values, indices, s, attempt(lambda: T.add(x, 1, out=T.empty(3, dtype=T.int64)))


@program
def fresh_like(T):
    x = ramp(T, 2, 3).t()
    return (x.new_zeros(2), x.new_ones((1, 2)), x.new_full((2,), 3), x.new_empty(2, 0), x.new_tensor([1, 2]), x.new_zeros(2, dtype=T.int32), T.zeros_like(x), T.ones_like(x, dtype=T.int64), T.full_like(x, 2), T.empty_like(x).shape, T.empty_like(x).stride(), x.new(2).shape, x.new([1, 2]), T.zeros_like(x[::2]).stride(),
            x.new_ones(2, requires_grad=True), T.ones_like(x, memory_format=T.contiguous_format).stride())


@program
def memory_formats(T):
    x = T.arange(24.0).reshape(1, 2, 3, 4)
    y = x.to(memory_format=T.channels_last)
    z = y + 1
    return (y, y.is_contiguous(), y.is_contiguous(memory_format=T.channels_last), z.stride(), y.contiguous().stride(), y.clone().stride(), T.zeros_like(y).stride(), x.contiguous(memory_format=T.channels_last).stride(), y.contiguous(memory_format=T.channels_last) is y, T.empty(1, 2, 3, 4, memory_format=T.channels_last).stride(),
            y.permute(0, 2, 3, 1).is_contiguous(), (y * T.ones(2, 1, 1)).stride(), y.float().stride(), y.sum(1).stride(), y.relu().stride())


@program
def resized(T):
    x = ramp(T, 4)
    x.resize_(2, 2)
    y = ramp(T, 6)
    y.resize_(2)
    a = ramp(T, 2, 3)
    a.t_()
    b = ramp(T, 1, 3)
    b.squeeze_()
    c = ramp(T, 3)
    c.unsqueeze_(0).transpose_(0, 1)
    d = ramp(T, 2)
    d.set_(ramp(T, 5))
    return x, y, a, b, c, d, a.stride()


@program
def deep_chain(T):
    x = ramp(T, 1, grad=True)
    y = x
    for _ in range(3000):
        y = y + 1
    y.sum().backward()
    return x.grad


@program
def broadcast_gradients(T):
    a, b, c = ramp(T, 3, 1, grad=True), ramp(T, 4, grad=True), T.tensor(2.0, dtype=T.float64, requires_grad=True)
    (a * b + c).pow(2).sum().backward()
    return a.grad, b.grad, c.grad


@program
def mixed_dtype_gradients(T):
    a, b = T.ones(3, requires_grad=True), T.ones(3, dtype=T.float64, requires_grad=True)
    h = T.ones(3, dtype=T.float16, requires_grad=True)
    (a * b).sum().backward()
    (h * a).sum().backward()
    (a * T.arange(3)).sum().backward()
    return a.grad, b.grad, h.grad, a.double().float().requires_grad


@program
def nan_masking(T):
    x = T.tensor([0.0, 1.0, -1.0], requires_grad=True)
    T.where(x > 0, x.log(), T.zeros(3)).sum().backward()
    return x.grad


@program
def anomaly(T):
    x = ramp(T, 2, grad=True)
    with T.autograd.detect_anomaly():
        (x * 2).sum().backward()
    T.autograd.set_detect_anomaly(False)
    return x.grad, T.is_anomaly_enabled() if hasattr(T, "is_anomaly_enabled") else False


@program
def gradcheck_passes_and_fails(T):
    class Wrong(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3
    x = ramp(T, 3, grad=True)
    check = T.autograd.gradcheck
    return (check(lambda v: v.exp() * v, (x,)), check(Wrong.apply, (x,), raise_exception=False), attempt(lambda: check(Wrong.apply, (x,)))[0], T.autograd.gradgradcheck(lambda v: (v ** 3).sum(), (x,)), check(lambda a, b: (a @ b), (ramp(T, 2, 3, grad=True), ramp(T, 3, 2, grad=True))), check(lambda v: (v * 2, v.sum()), x))


@program
def saved_tensors_hooks(T):
    seen = []
    with T.autograd.graph.saved_tensors_hooks(lambda x: seen.append("pack") or x.clone(), lambda x: seen.append("unpack") or x):
        x = ramp(T, 2, grad=True)
        y = (x * x).exp()
    y.sum().backward()
    return x.grad, seen.count("pack"), seen.count("unpack")


@program
def saved_tensors_hooks_of_a_function(T):
    class Square(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            x, = ctx.saved_tensors
            return 2 * g * x
    x, seen = ramp(T, 3, grad=True), []
    with T.autograd.graph.saved_tensors_hooks(lambda x: seen.append(tuple(x.shape)) or x * 2, lambda x: x):
        y = Square.apply(x)
    y.sum().backward()
    return x.grad, seen


@program
def graph_helpers(T):
    x = ramp(T, 2, grad=True)
    with T.autograd.graph.save_on_cpu():
        y = x.exp()
    y.sum().backward()
    edge = T.autograd.graph.get_gradient_edge(x * 2)
    return x.grad, edge.output_nr, T.autograd.Variable(T.ones(2), requires_grad=True).requires_grad


@program
def variables(T):
    V = T.autograd.Variable
    return isinstance(T.ones(1), V), isinstance(1, V), isinstance(V, type), V(ramp(T, 2), requires_grad=True) * 2


@program
def functional_derivatives(T):
    f, g = (lambda x: (x ** 3).sum()), (lambda x: x ** 2 + x.sum())
    two = lambda x, y: (x * y, (x + y).sum())
    x, v = ramp(T, 3), T.ones(3, dtype=T.float64)
    F = T.autograd.functional
    return (F.jacobian(g, x), F.hessian(f, x), F.vjp(g, x, v), F.jvp(g, x, v), F.hvp(f, x, x), F.vhp(f, x, v), F.jacobian(two, (x, v)),
            F.hessian(lambda a, b: (a * b * b).sum(), (x, v)), F.vjp(two, (x, v), (v, T.ones((), dtype=x.dtype))), F.jvp(two, (x, v), (v, x)),
            F.vjp(f, x), attempt(lambda: F.vjp(g, x)), attempt(lambda: F.hessian(g, x)), attempt(lambda: F.jacobian(lambda a: v, x, strict=True)), F.jacobian(lambda a: v, x))


@program
def functional_derivatives_again(T):
    x = ramp(T, 3, grad=True)
    j = T.autograd.functional.jacobian(lambda a: a ** 3, x, create_graph=True)
    h = T.autograd.functional.hessian(lambda a: (a ** 4).sum(), x, create_graph=True)
    (j.sum() + h.sum()).backward()
    return x.grad


@program
def everyday_settings(T):
    T.set_float32_matmul_precision("high")
    T.use_deterministic_algorithms(True)
    out = T.get_float32_matmul_precision(), T.are_deterministic_algorithms_enabled(), T.get_default_device().type
    T.use_deterministic_algorithms(False)
    T.set_float32_matmul_precision("highest")
    return (*out, T.hann_window(5), T.hamming_window(4, periodic=False), T.bartlett_window(4), T.blackman_window(5), T.kaiser_window(4), T.hann_window(1),
            [i.tolist() for i in T.unravel_index(T.tensor([5, 11]), (3, 4))], T.exp_(T.zeros(2)), T.fill_(T.zeros(2), 3), T.is_signed(T.zeros(1)), T.fill(T.zeros(2), 2), T.detach(T.ones(1)), T.zero_(T.ones(2)))


PROGRAMS_NAMES.extend(PROGRAMS)


def test_a_retained_gradient_is_that_of_the_value_written_last():
    def grads(m, write):
        x = m.ones(3, requires_grad=True) * 1.0
        x.retain_grad()
        x.register_hook(lambda g: g * 10)
        write(x)
        (x * x).sum().backward()
        return x.grad.tolist()
    for write in (lambda x: x.mul_(2), lambda x: x[:2].mul_(2), lambda x: x.copy_(x * 3), lambda x: x.zero_()):
        assert grads(rushlight, write) == grads(torch, write)


@pytest.mark.parametrize("write", [lambda x: x.t_(), lambda x: x.copy_(x), lambda x: x.unsqueeze_(0)])
def test_leaves_are_not_reshaped_or_copied_to_in_place(write):
    for m in (torch, rushlight):
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
            write(m.ones(2, 2, requires_grad=True))
