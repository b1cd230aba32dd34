"""Image datasets: from files, made up, downloaded from this machine."""
import gzip
import hashlib
import http.server
import pickle
import struct
import threading

import numpy as np
import pytest

import rushlight
from rushlight.vision import datasets
from rushlight.utils.download import download

Image = pytest.importorskip("PIL.Image")
PIXELS = np.random.RandomState(0).randint(0, 255, (5, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder, name="MNIST", pack=False):
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind, array in (("images-idx3", PIXELS), ("labels-idx1", LABELS)):
            path = raw / f"{part}-{kind}-ubyte"
            if pack:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(idx(array)))
            else:
                path.write_bytes(idx(array))


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_mnist(tmp_path, name, pack):
    write_mnist(tmp_path, name, pack)
    data = getattr(datasets, name)(tmp_path, train=False)
    image, label = data[2]
    assert np.array_equal(np.asarray(image), PIXELS[2]) and label == 4 and type(label) is int
    assert data.data.dtype is rushlight.uint8 and data.targets.tolist() == [3, 1, 4, 1, 5]
    assert len(data) == 5 and len(data.classes) == 10 and data.class_to_idx[data.classes[7]] == 7
    twice = getattr(datasets, name)(tmp_path, transform=lambda x: 1, target_transform=lambda y: -y)
    assert twice[0] == (1, -3) and "Split: Train" in repr(twice)


def test_mnist_that_is_not_there(tmp_path):
    with pytest.raises(RuntimeError, match="Dataset not found.*You can use download=True to download it"):
        datasets.MNIST(tmp_path)


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"x" + b[1:], lambda b: b"", lambda b: b + b"1"])
def test_a_damaged_file_is_an_error(tmp_path, damage):
    write_mnist(tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="train-images-idx3-ubyte"):
        datasets.MNIST(tmp_path)


def write_cifar(folder, kind):
    pixels = np.arange(2 * 3072, dtype=np.int64).astype(np.uint8).reshape(2, 3072)
    base = folder / kind.base_folder
    base.mkdir()
    sums = {}
    for name, _ in [*kind.train_list, *kind.test_list]:
        content = pickle.dumps({"data": pixels, "labels" if kind is datasets.CIFAR10 else "fine_labels": [1, 0]}, 2)
        (base / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    content = pickle.dumps({kind.meta["key"]: ["cat", "dog"]}, 2)
    (base / kind.meta["filename"]).write_bytes(content)
    sums[kind.meta["filename"]] = hashlib.md5(content).hexdigest()
    return pixels, sums


@pytest.mark.parametrize("kind", [datasets.CIFAR10, datasets.CIFAR100])
def test_cifar(tmp_path, kind, monkeypatch):
    pixels, sums = write_cifar(tmp_path, kind)
    with pytest.raises(RuntimeError, match="Dataset not found or corrupted"):
        kind(tmp_path)                          # the sums are those of the real files
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(kind, part, [[name, sums[name]] for name, _ in getattr(kind, part)])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": sums[kind.meta["filename"]]})
    data = kind(tmp_path)
    assert len(data) == 2 * len(kind.train_list) and data.classes == ["cat", "dog"]
    image, label = data[1]
    assert label == 0 and np.array_equal(np.asarray(image).transpose(2, 0, 1).ravel(), pixels[1])


def test_a_batch_that_would_run_code_is_refused(tmp_path):
    from rushlight.vision.datasets.cifar import read_batch

    class Evil:
        def __reduce__(self):
            return eval, ("1/0",)
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(pickle.UnpicklingError, match="names builtins.eval"):
        read_batch(path)


def test_image_folder(tmp_path):
    for name, colour in (("dog", 10), ("cat", 20)):
        (tmp_path / name / "more").mkdir(parents=True)
        for k in range(2):
            Image.new("RGB", (4, 3), (colour, k, 0)).save(tmp_path / name / "more" / f"{k}.png")
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    data = datasets.ImageFolder(tmp_path)
    assert data.classes == ["cat", "dog"] and data.targets == [0, 0, 1, 1] and data.imgs is data.samples
    assert [np.asarray(image)[0, 0].tolist() for image, _ in data] == [[20, 0, 0], [20, 1, 0], [10, 0, 0], [10, 1, 0]]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="Found no valid file for the classes empty"):
        datasets.ImageFolder(tmp_path)
    assert len(datasets.ImageFolder(tmp_path, allow_empty=True)) == 4
    with pytest.raises(FileNotFoundError, match="Couldn't find any class folder"):
        datasets.ImageFolder(tmp_path / "empty")


def test_digits_are_real_and_batch_up():
    pytest.importorskip("sklearn")
    from rushlight.vision import transforms
    train, test = (datasets.Digits(train=part, transform=transforms.ToTensor()) for part in (True, False))
    assert (len(train), len(test)) == (1500, 297)
    x, y = next(iter(rushlight.utils.data.DataLoader(train, 32)))
    assert x.shape == (32, 1, 8, 8) and 0 <= x.min() and x.max() == 1 and y[:4].tolist() == [0, 1, 2, 3]


def test_fake_data_leaves_the_generator_alone():
    rushlight.manual_seed(1)
    expected = rushlight.rand(3)
    rushlight.manual_seed(1)
    data = datasets.FakeData(3, (1, 4, 4), num_classes=7)
    assert np.array_equal(np.asarray(data[1][0]), np.asarray(data[1][0])) and 0 <= data[0][1] < 7
    assert (rushlight.rand(3) == expected).all() and len(data) == 3
    with pytest.raises(IndexError):
        data[3]


# -- downloads, from a server on this machine ---------------------------------------------------------
CONTENT = np.random.RandomState(1).bytes(300_000)


@pytest.fixture
def server():
    class Handler(http.server.BaseHTTPRequestHandler):
        cut, asked = 0, []

        def do_GET(self):
            start = int(self.headers.get("Range", "bytes=0-")[6:-1])
            self.asked.append(start)
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            end = self.cut if self.cut and len(self.asked) == 1 else len(CONTENT)
            self.wfile.write(CONTENT[start:end])

        def log_message(self, *_):
            return

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.kind = Handler
    threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def url(server):
    return f"http://127.0.0.1:{server.server_port}/file"


MD5 = hashlib.md5(CONTENT).hexdigest()


def test_download(server, tmp_path):
    path = tmp_path / "there" / "file"
    download(url(server), str(path), MD5)
    assert path.read_bytes() == CONTENT
    download("http://127.0.0.1:9/nowhere", str(path), MD5)      # it is there already


def test_a_cut_download_is_continued(server, tmp_path):
    server.kind.cut = 100_000
    download(url(server), str(tmp_path / "file"), MD5)
    assert (tmp_path / "file").read_bytes() == CONTENT and server.kind.asked == [0, 100_000]


def test_another_content_is_refused(server, tmp_path):
    with pytest.raises(RuntimeError, match=f"the file's MD5 is {MD5}, not 0123"):
        download(["http://127.0.0.1:9/nowhere", url(server)], str(tmp_path / "file"), "0123")
    assert not (tmp_path / "file").exists()
