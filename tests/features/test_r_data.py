"""Rows R of the notes' features: datasets, loaders and transforms."""
import gzip
import json
import struct

import numpy as np
import pytest

import rushlight as torch
from rushlight.utils.data import (BatchSampler, DataLoader, Dataset, IterableDataset, TensorDataset,
                                  WeightedRandomSampler, get_worker_info, random_split)
from rushlight.vision import datasets, transforms

Image = pytest.importorskip("PIL.Image")


class Labelled(Dataset):
    """Samples (1, 28, 28) with their index as label."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return torch.full((1, 28, 28), float(i)), i


class Count(IterableDataset):
    """0 to 7, shared by the workers."""

    def __iter__(self):
        info = get_worker_info()
        return iter(range(8) if info is None else range(info.id, 8, info.num_workers))


class Pictures(Dataset):
    """Pictures of root/picture and the numbers of root/label.txt, line by line."""

    def __init__(self, root, transform=None, target_transform=None):
        self.paths = sorted((root / "picture").iterdir())
        self.labels = torch.tensor([float(line) for line in open(root / "label.txt")])
        self.transform, self.target_transform = transform, target_transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        img, label = Image.open(self.paths[i]).convert("RGB"), self.labels[i]
        img = self.transform(img) if self.transform else img
        return img, self.target_transform(label) if self.target_transform else label


@pytest.fixture
def root(tmp_path):
    (tmp_path / "picture").mkdir()
    for i in range(3):
        Image.fromarray(np.full((4, 5), 51 * i, np.uint8)).save(tmp_path / "picture" / f"{i}.png")
    (tmp_path / "label.txt").write_text("0.5\n1.5\n2.5\n")
    return tmp_path


def test_r01_map_style_dataset_is_indexable_with_a_length():
    data = Labelled(10)
    image, label = data[3]
    assert len(data) == 10 and image.shape == (1, 28, 28) and label == 3


def test_r02_dataset_of_pictures_and_labels(root):
    image, label = Pictures(root)[1]
    assert image.mode == "RGB" and image.size == (5, 4) and label == 1.5


def test_r03_iterable_dataset_is_not_shuffled():
    assert [batch.tolist() for batch in DataLoader(Count(), batch_size=3)] == [
        [0, 1, 2], [3, 4, 5], [6, 7]]
    with pytest.raises(ValueError, match="DataLoader with IterableDataset: expected unspecified shuffle "
                                         "option, but got shuffle=True"):
        DataLoader(Count(), shuffle=True)


def test_r04_arguments_of_the_loader():
    loader = DataLoader(
        Labelled(4), batch_size=1, shuffle=False, sampler=None, batch_sampler=None, num_workers=0,
        collate_fn=None, pin_memory=False, drop_last=False, timeout=0, worker_init_fn=None,
        multiprocessing_context=None, generator=None, prefetch_factor=None,
        persistent_workers=False, pin_memory_device="", in_order=True)
    assert len(loader) == 4 and DataLoader(Labelled(4)).prefetch_factor is None
    assert DataLoader(Labelled(4), num_workers=1).prefetch_factor == 2


def test_r05_loader_is_iterable_not_indexable():
    with pytest.raises(TypeError, match="'DataLoader' object is not subscriptable"):
        DataLoader(Labelled(4))[0]


def test_r06_length_is_rounded_up_or_down():
    assert len(DataLoader(Labelled(10), batch_size=4)) == 3
    assert len(DataLoader(Labelled(10), batch_size=4, drop_last=True)) == 2


def test_r07_batch_is_a_list_of_data_and_labels():
    batch = next(iter(DataLoader(Labelled(10), batch_size=4)))
    assert type(batch) is list and batch[0].shape == (4, 1, 28, 28)
    assert batch[1].tolist() == [0, 1, 2, 3] and batch[1].dtype == torch.int64


def test_r08_order_by_shuffle_or_by_a_sampler():
    with pytest.raises(ValueError, match="sampler option is mutually exclusive with shuffle"):
        DataLoader(Labelled(4), shuffle=True, sampler=[3, 2])
    assert [y.item() for _, y in DataLoader(Labelled(4), sampler=[3, 1, 2])] == [3, 1, 2]
    pairs = DataLoader(Labelled(4), batch_sampler=BatchSampler([3, 1, 2], 2, drop_last=False))
    assert [y.tolist() for _, y in pairs] == [[3, 1], [2]]
    only = DataLoader(Labelled(4), sampler=WeightedRandomSampler([0, 0, 1, 0], 5))
    assert [y.item() for _, y in only] == [2] * 5


def test_r09_automatic_batching():
    loader = DataLoader(Labelled(5), batch_size=2, drop_last=True,
                        collate_fn=lambda samples: [label for _, label in samples])
    assert list(loader) == [[0, 1], [2, 3]]
    image, label = next(iter(DataLoader(Labelled(5), batch_size=None)))
    assert image.shape == (1, 28, 28) and label == 0


def test_r10_loading_by_several_processes():
    def init(number):
        get_worker_info().dataset.n += 100 * number
    loader = DataLoader(Labelled(6), batch_size=2, num_workers=2, worker_init_fn=init, timeout=240,
                        prefetch_factor=3, persistent_workers=True)
    for _ in range(2):
        assert [y.tolist() for _, y in loader] == [[0, 1], [2, 3], [4, 5]]


def test_r11_pinned_memory_is_accepted():
    x, _ = next(iter(DataLoader(Labelled(4), batch_size=2, pin_memory=True)))
    assert x.shape == (2, 1, 28, 28)


def test_r12_first_batch_by_hand():
    sample = next(iter(DataLoader(Labelled(256), batch_size=128)))
    assert str(sample[0].shape) == "torch.Size([128, 1, 28, 28])"
    assert str(sample[1].shape) == "torch.Size([128])"


def test_r13_enumerate_of_a_loader():
    seen = [(batch, len(X), len(y)) for batch, (X, y) in enumerate(DataLoader(Labelled(5), 2))]
    assert seen == [(0, 2, 2), (1, 2, 2), (2, 1, 1)]


def test_r14_to_tensor_moves_channels_first_and_scales():
    image = np.zeros((4, 5, 3), np.uint8)
    image[1, 2] = 255, 51, 0
    for given in (image, Image.fromarray(image)):
        x = transforms.ToTensor()(given)
        assert x.shape == (3, 4, 5) and x.dtype == torch.float32
        assert torch.allclose(x[:, 1, 2], torch.tensor([1.0, 0.2, 0.0]))


def test_r15_lambda_wraps_a_function():
    one_hot = transforms.Lambda(lambda y: torch.zeros(10, dtype=torch.float).scatter_(
        dim=0, index=torch.tensor(y), value=1))
    assert one_hot(3).tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_r16_compose_applies_in_order():
    assert transforms.Compose([lambda x: x + 1, lambda x: x * 10])(2) == 30


def test_r17_normalize_by_channel():
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    x = transforms.Normalize(mean=mean, std=std)(torch.ones(3, 2, 2))
    assert torch.allclose(x[:, 0, 0], (1 - torch.tensor(mean)) / torch.tensor(std))


def test_r18_transforms_are_applied_by_the_dataset(root):
    data = Pictures(root, transform=transforms.ToTensor(), target_transform=lambda y: y * 2)
    image, label = data[1]
    assert image.shape == (3, 4, 5) and label == 3


def test_r19_mnist(tmp_path):
    with pytest.raises(RuntimeError, match="Dataset not found"):
        datasets.MNIST(tmp_path, train=True, download=False)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind, array in (("images-idx3", np.full((2, 28, 28), 255)), ("labels-idx1", np.array([7, 2]))):
            head = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (raw / f"{part}-{kind}-ubyte.gz").write_bytes(
                gzip.compress(head + array.astype(np.uint8).tobytes()))
            (raw / f"{part}-{kind}-ubyte").write_bytes(head + array.astype(np.uint8).tobytes())
    data = datasets.MNIST(tmp_path, train=True, download=True, transform=transforms.ToTensor())
    image, label = data[0]
    assert len(data) == 2 and label == 7 and torch.equal(image, torch.ones(1, 28, 28))


def test_r20_shuffled_minibatches():
    loader = DataLoader(Labelled(300), batch_size=128, shuffle=True)
    first, second = (torch.cat([y for _, y in loader]) for _ in range(2))
    assert [len(y) for _, y in loader] == [128, 128, 44] and not torch.equal(first, second)
    assert torch.equal(first.sort().values, torch.arange(300))


def test_r21_augmented_images():
    torch.manual_seed(0)
    augment = transforms.Compose([
        transforms.RandomHorizontalFlip(), transforms.RandomCrop(24), transforms.ColorJitter(0.4, 0.4),
        transforms.ToTensor(), transforms.RandomErasing()])
    image = Image.fromarray(np.arange(28 * 28 * 3, dtype=np.uint32).astype(np.uint8).reshape(28, 28, 3))
    first, second = augment(image), augment(image)
    assert first.shape == second.shape == (3, 24, 24) and not torch.equal(first, second)


def test_r22_json_and_json_lines(tmp_path):
    splits, lines = tmp_path / "splits.json", tmp_path / "chains.jsonl"
    splits.write_text(json.dumps({"train": ["a"], "validation": [], "test": ["b"], "cath_nodes": {}}))
    lines.write_text('{"name": "a", "seq": "MK"}\nnot json\n{"name": "b", "seq": "G"}\n')
    chains = []
    for line in lines.open():
        try:
            chains.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    train = [chain for chain in chains if chain["name"] in json.loads(splits.read_text())["train"]]
    batch = next(iter(DataLoader(train, collate_fn=list)))
    assert len(chains) == 2 and batch == [{"name": "a", "seq": "MK"}]


def test_r23_workers_share_a_stream():
    assert get_worker_info() is None
    loader = DataLoader(Count(), batch_size=2, num_workers=2)
    assert [batch.tolist() for batch in loader] == [[0, 2], [1, 3], [4, 6], [5, 7]]


def test_r24_tabular_features():
    names = ["danceability", "tempo", "duration_ms", "valence", "energy"]
    rows = [dict.fromkeys(names, float(i)) for i in range(4)]
    x = torch.tensor([[row[name] for name in names] for row in rows])
    features, target = next(iter(DataLoader(TensorDataset(x, torch.arange(4)), batch_size=4)))
    assert features.shape == (4, 5) and target.tolist() == [0, 1, 2, 3]


def test_r25_split_into_training_validation_and_test():
    data = TensorDataset(torch.arange(100))
    parts = random_split(data, [0.6, 0.2, 0.2], torch.Generator().manual_seed(0))
    assert [len(part) for part in parts] == [60, 20, 20]
    assert sorted(x.item() for part in parts for (x,) in part) == list(range(100))
    assert [len(part) for part in random_split(data, [98, 1, 1])] == [98, 1, 1]
