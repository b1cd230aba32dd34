"""What whole programs were found to need: each snippet gives the same values, or the same error, under PyTorch."""
from __future__ import annotations

import numpy as np
import pytest

oracle = pytest.importorskip("torch")
import rushlight                # noqa: E402

SNIPPETS = {}


def snippet(fn):
    SNIPPETS[fn.__name__] = fn
    return fn


def numbers(y):
    if isinstance(y, (list, tuple)):
        return [numbers(v) for v in y]
    return y.detach().numpy() if hasattr(y, "detach") else y


@pytest.mark.parametrize("name", ["numpy_names", "numpy_names_linalg", "fake_quantize"])
def test_snippet(name):
    found, expected = (numbers(SNIPPETS[name](T)) for T in (rushlight, oracle))
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


@snippet
def numpy_names(T):
    x, i = T.arange(12.).reshape(3, 4), T.tensor([0, 2])
    return [x.sum(axis=1, keepdims=True), T.mean(x, axis=0, keepdims=True), T.cumprod(x, axis=0), x.cumsum(axis=-1),
            T.cat([x, x], axis=1), T.stack((x, x), axis=1), T.cat([x] * 10, axis=0), x.argmax(axis=1),
            T.argsort(x, axis=0, descending=True), x.max(axis=1)[0], T.max(x, other=x + 1), x.std(axis=0),
            T.softmax(x, axis=-1), x[None].squeeze(axis=0), x.unsqueeze(axis=1), T.index_select(x, axis=1, index=i),
            T.gather(x, axis=1, index=i[None].expand(3, 2)), T.sort(x, axis=0)[1], x.topk(2, axis=1)[0],
            T.unbind(x, axis=1)[0], x.chunk(2, axis=1)[1], T.diff(x, axis=0), T.logsumexp(x, axis=1, keepdims=True),
            x.median(axis=0)[0], x.amax(axis=(0, 1)), x.narrow(axis=0, start=1, length=2), x.select(axis=0, index=1)]


@snippet
def numpy_names_linalg(T):
    x = T.arange(12.).reshape(3, 4)
    return [T.linalg.norm(x, axis=1), T.linalg.vector_norm(x, axis=1, keepdims=True), T.fft.rfft(x, axis=0).abs()]


@snippet
def fake_quantize(T):
    x = T.tensor([[.1, .5, -3., 9., float("nan")], [.25, .35, .0, -.8, 1.2]], requires_grad=True)
    y = T.fake_quantize_per_tensor_affine(x, .1, 0, -8, 7)
    z = T.fake_quantize_per_channel_affine(x, T.tensor([.1, .2]), T.tensor([0, 1], dtype=T.int32), 0, -8, 7)
    (y * 2 + z).sum().backward()
    return [y, z, x.grad, T.fake_quantize_per_tensor_affine(x.detach(), T.tensor(.3), T.tensor(2, dtype=T.int32), 0, 15)]


@pytest.mark.parametrize("call", [
    lambda T: T.cumsum(T.ones(3)), lambda T: T.index_select(T.ones(3), 0),
    lambda T: T.fake_quantize_per_tensor_affine(T.ones(3), .1, 300, 0, 255)])
def test_errors_are_the_same(call):
    with pytest.raises((TypeError, RuntimeError)) as expected:
        call(oracle)
    with pytest.raises(expected.type, match=str(expected.value).split("(")[0]):
        call(rushlight)


@pytest.mark.parametrize("steps", [1, 2, 7, 28, 333, 5000])
def test_linspace_has_the_same_bits(steps):
    for start, end in ((-1, 1), (0, 1), (.1, .7), (-3, 5)):
        np.testing.assert_array_equal(rushlight.linspace(start, end, steps).numpy(), oracle.linspace(start, end, steps).numpy())
        whole = [T.linspace(start * 7, end * 7, steps, dtype=T.int64).numpy() for T in (rushlight, oracle)]
        np.testing.assert_array_equal(*whole)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("size", [(2, 1, 28, 28), (2, 3, 7, 9)])
def test_an_identity_meets_the_pixels_as_it_does_there(size, align):
    """Where points lie just on pixels, the gradient is that of one side or the other."""
    rng = np.random.default_rng(0)
    image, found = rng.standard_normal(size).astype(np.float32), []
    for T in (rushlight, oracle):
        theta = T.tensor([[1., 0, 0], [0, 1, 0]]).repeat(2, 1, 1).requires_grad_()
        grid = T.nn.functional.affine_grid(theta, size, align_corners=align)
        T.nn.functional.grid_sample(T.from_numpy(image), grid, align_corners=align).pow(2).sum().backward()
        found.append((grid.detach().numpy(), theta.grad.numpy()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("a,b", [(1., 1.), (.3, .2), (5., .7), (300., 2.)])
def test_samples_of_beta_move_as_they_do_there(a, b):
    found = []
    for T in (rushlight, oracle):
        T.manual_seed(0)
        parameters = [T.full((64,), v, requires_grad=True) for v in (a, b)]
        T.distributions.Beta(*parameters).rsample().sum().backward()
        found.append(np.stack([p.grad.numpy() for p in parameters]))
    np.testing.assert_allclose(*found, rtol=5e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["cudnn", "cuda", "mps", "mkl", "mkldnn", "openmp"])
def test_switches_are_modules(name):
    """`import torch.backends.cudnn as cudnn` gives the very switches that the package has."""
    import importlib
    from rushlight import backends
    before = getattr(backends, name)
    module = importlib.import_module(f"rushlight.backends.{name}")
    assert module is before is getattr(backends, name) and module.__spec__.name == f"rushlight.backends.{name}"


def test_storages_are_made_and_sliced_as_there():
    def seen(T):
        s, made = T.arange(10, dtype=T.uint8).untyped_storage(), T.UntypedStorage(4)
        made[0] = 7
        return [s[2:5].tolist(), s[0], T.asarray(s[2:5], dtype=T.uint8).tolist(), len(s), s.nbytes(), repr(s), made[0],
                T.UntypedStorage([1, 2, 3]).tolist(), T.tensor([1., 2.]).untyped_storage().tolist(),
                isinstance(s, T.UntypedStorage), isinstance(s, T.storage.UntypedStorage), T.is_storage(s),
                s.__sizeof__() - len(s) > 0]
    assert seen(rushlight) == seen(oracle)


def test_a_file_is_a_storage(tmp_path):
    path = str(tmp_path / "bytes")
    with open(path, "wb") as f:
        f.write(bytes(range(200)))
    for T in (rushlight, oracle):
        s = T.UntypedStorage.from_file(path, shared=False, nbytes=200)
        assert len(s) == 200 and s[5] == 5 and T.asarray(s[100:108], dtype=T.uint8).view(T.int32).shape == (2,)
        assert T.asarray(s)[0] == 506097522914230528 and T.asarray(s, dtype=T.float32).shape == (50,)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n,m", [(50, 50), (7, 3), (300, 64)])
def test_what_is_an_index_may_be_a_value_beside(n, m, seed):
    rng = np.random.default_rng(seed)
    xs, rows = rng.standard_normal((n, m)).astype(np.float32), rng.integers(0, n, n)
    places, columns, found = rng.integers(0, m, (n, m)), rng.integers(-m, m, m), []
    for T in (rushlight, oracle):
        x, i, j, k = (T.from_numpy(a.copy()) for a in (xs, rows, places, columns))
        picked = T.gather(x, 1, j)
        found.append(numbers([1 + i - x[:, 0][i], x[i] + i[:, None], picked * j, (x[:, k] + k).sum(1), (x[i] - i[:, None]).sum(0),
                              T.where(j > 1, picked, j.float()), (picked + j).softmax(1), i.float() * x[i, i % m] + i]))
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)


def test_arguments_are_scattered_in_pairs():
    from rushlight.nn.parallel.scatter_gather import scatter_kwargs
    inputs, named = scatter_kwargs((rushlight.ones(4),), {"k": 5}, ["cpu", "cpu"])
    assert [len(x[0]) for x in inputs] == [2, 2] and list(named) == [{"k": 5}, {"k": 5}]


def test_operations_by_the_names_of_aten():
    def seen(T):
        x, a = T.arange(12.).reshape(3, 4), T.ops.aten
        return numbers([a.alias(x), a.slice(x, 1, 1, 9), a.slice.Tensor(x, 0, -2), a.index(x, [None, T.tensor([0, 2])]),
                        a.lift_fresh(x)])
    for mine, theirs in zip(seen(rushlight), seen(oracle)):
        np.testing.assert_array_equal(mine, theirs)


def test_values_are_shown_by_the_names_that_packages_use():
    from torch._tensor_str import _add_suffixes as add, _tensor_str as shown
    from rushlight import _tensor_str as mine
    for shape in ((3,), (2, 3), (30, 50), (0,)):
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        ours, theirs = mine._tensor_str(rushlight.from_numpy(x), 6), shown(oracle.from_numpy(x), 6)
        assert ours == theirs
        for force in (False, True):
            assert mine._add_suffixes("Index(" + ours, ["a=1"], 6, force) == add("Index(" + theirs, ["a=1"], 6, force)


def test_nobody_has_parts_in_several_processes():
    from rushlight.distributed.tensor import DTensor, distribute_tensor
    assert not isinstance(rushlight.ones(2), DTensor)
    for call in (DTensor, lambda: distribute_tensor(rushlight.ones(2))):
        with pytest.raises(NotImplementedError, match="torch.distributed.tensor"):
            call()


def test_classes_are_found_where_packages_look():
    from rushlight import _dynamo
    from rushlight.distributed.constants import default_pg_timeout
    from rushlight.nn.modules.module import _IncompatibleKeys
    from rushlight.utils.data import DataLoader, dataloader
    from torch.distributed.constants import default_pg_timeout as expected
    assert default_pg_timeout == expected and _IncompatibleKeys([], ["a"]).unexpected_keys == ["a"]
    assert isinstance(iter(DataLoader([1, 2])), dataloader._BaseDataLoaderIter)
    assert issubclass(dataloader._MultiProcessingDataLoaderIter, dataloader._BaseDataLoaderIter)
    assert isinstance(rushlight.compile(rushlight.nn.Linear(1, 1)), _dynamo.eval_frame.OptimizedModule)


@pytest.mark.parametrize("size", [(3, 4), (11, 5), (7, 13)])
@pytest.mark.parametrize("mode, options", [("bilinear", {}), ("bilinear", {"align_corners": True}), ("bicubic", {}),
                                           ("bilinear", {"antialias": True})])
def test_bytes_are_resized_and_rounded(size, mode, options):
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 7, 9), np.uint8)
    found, expected = (T.nn.functional.interpolate(T.tensor(pixels), size, mode=mode, **options).numpy()
                       for T in (rushlight, oracle))
    assert found.dtype == expected.dtype
    off = np.abs(found.astype(int) - expected)
    assert off.max() <= 1 and off.mean() < .01


MIXED = ["T.gcd(i8, i64)", "T.lcm(T.tensor([True]), i8)", "T.nextafter(f32, f64)", "T.nextafter(f32, i64)",
         "T.xlogy(f16, i64)", "T.xlogy(f32, bf16)", "T.special.xlog1py(f64, bf16)", "T.special.xlog1py(f16, i64)",
         "T.ldexp(f64, i64 * 50)", "T.ldexp(f16, i64)", "T.ldexp(i8, i64)", "T.vander(i8)", "T.vander(i8, 1)",
         "T.addcmul(i8, i8 > 3, i8 > 3, value=3)", "T.addcmul(i64, i8, i8, value=1.5)", "T.cross(f32, f64, dim=0)"]


@pytest.mark.parametrize("call", MIXED)
def test_kinds_of_numbers_that_meet(call):
    results = []
    for T in (rushlight, oracle):
        made = {name: T.tensor([4, 3, 7], dtype=d) for name, d in (
            ("i8", T.int8), ("i64", T.int64), ("f16", T.float16), ("bf16", T.bfloat16), ("f32", T.float32),
            ("f64", T.float64))}
        try:
            y = eval(call, {"T": T, **made})
            results.append((str(y.dtype)[-7:], y.tolist()))
        except RuntimeError as error:
            results.append(str(error))
    (found, expected) = results
    if isinstance(expected, str):
        assert found == expected
    else:
        assert found[0] == expected[0]
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)


@pytest.mark.parametrize("text", [
    lambda T: f"{T.eye(2).to_sparse()}", lambda T: f"{T.eye(2).to_sparse_csr()}", lambda T: f"{T.ones((), device='meta')}",
    lambda T: f"{T.nn.Parameter(T.tensor(1.5))}", lambda T: f"{T.tensor(1.5, requires_grad=True):.3f}",
    lambda T: f"{T.sparse_coo_tensor(size=(2, 3))}",
    lambda T: f"{T.eye(2).to_sparse() @ T.ones(2, 2).requires_grad_()}",
    lambda T: f"{T.sparse.mm(T.eye(2).to_sparse(), T.ones(2, 2).requires_grad_())}",
    lambda T: str((T.ones(2, requires_grad=True) @ T.ones(2, 3)).grad_fn.name()),
])
def test_texts_of_tensors(text):
    assert text(rushlight) == text(oracle)


@pytest.mark.parametrize("name", ["float64", "float32", "float16", "bfloat16", "complex64"])
def test_limits_are_told_in_digits(name):
    found, expected = (T.finfo(getattr(T, name)) for T in (rushlight, oracle))
    assert str(found) == str(expected) and found.resolution == expected.resolution


def test_a_schedule_of_schedules_saves_them_last():
    def keys(T):
        o, s = T.optim.SGD([T.zeros(1)], 0.1), T.optim.lr_scheduler
        return list(s.SequentialLR(o, [s.StepLR(o, 1), s.StepLR(o, 1)], [2]).state_dict())
    assert keys(rushlight) == keys(oracle)


def test_a_triangle_of_a_vector_is_refused_by_name():
    for T in (rushlight, oracle):
        for name in ("tril", "triu"):
            with pytest.raises(RuntimeError, match=f"^{name}: input tensor must have at least 2 dimensions"):
                getattr(T, name)(T.ones(2))


def test_a_parameter_takes_no_format():
    for T in (rushlight, oracle):
        with pytest.raises(TypeError, match="unsupported format string passed to Parameter.__format__"):
            f"{T.nn.Parameter(T.tensor(1.5)):.2f}"
