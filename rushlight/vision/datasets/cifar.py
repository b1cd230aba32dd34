"""CIFAR-10 and CIFAR-100: Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009)."""
from __future__ import annotations

import os
import pickle

import numpy as np

from rushlight.utils.download import download, is_whole, unpack_tar
from rushlight.vision.datasets.vision import VisionDataset
from rushlight.vision.pillow import pillow

ALLOWED = {("multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")    # before NumPy 2, and since


class Unpickler(pickle.Unpickler):
    """Knows arrays and what is plain; a file that names anything else is refused."""

    def find_class(self, module, name):
        if ("multiarray" if module in MULTIARRAY else module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"a batch of images names {module}.{name}")
        return super().find_class(MULTIARRAY[hasattr(np, "_core")] if module in MULTIARRAY else module, name)


def read_batch(path: str) -> dict:
    with open(path, "rb") as file:
        return Unpickler(file, encoding="latin1").load()


class CIFAR10(VisionDataset):
    """Colour images, 32 x 32, of ten classes, 50,000 for training and 10,000 for tests.

    Items are (Pillow image, int), after the transforms. `data` is a NumPy array uint8 (N, 32, 32, 3),
    `targets` a list.

    Args:
        root: folder in which the unpacked folder lies. train: the training or the test part.
        download: fetch and unpack the archive if it is not there.

    Raises:
        RuntimeError: the files are not there or damaged, or cannot be fetched.
    """

    base_folder = "cifar-10-batches-py"
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    filename = "cifar-10-python.tar.gz"
    tgz_md5 = "c58f30108f718f92721af3b95e74349a"
    train_list = [["data_batch_1", "c99cafc152244af753f735de768cd75f"],
                  ["data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"],
                  ["data_batch_3", "54ebc095f3ab1f0389bbae665268c751"],
                  ["data_batch_4", "634d18415352ddfa80567beed471001a"],
                  ["data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"]]
    test_list = [["test_batch", "40351d587109b95175f43aff81a1287e"]]
    meta = {"filename": "batches.meta", "key": "label_names", "md5": "5ff9c542aee3614f3951f8cda6e48888"}

    def __init__(self, root, train=True, transform=None, target_transform=None, download=False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        if download:
            self.download()
        if not self._check_integrity():
            raise RuntimeError(f"Dataset not found or corrupted in {os.path.join(self.root, self.base_folder)}. "
                               "You can use download=True to download it")
        batches = [read_batch(self.file(name)) for name, _ in (self.train_list if train else self.test_list)]
        self.targets = [t for batch in batches for t in batch.get("labels", batch.get("fine_labels"))]
        pixels = np.vstack([batch["data"] for batch in batches])
        self.data = np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        self.classes = read_batch(self.file(self.meta["filename"]))[self.meta["key"]]
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}

    def file(self, name: str) -> str:
        return os.path.join(self.root, self.base_folder, name)

    def _check_integrity(self) -> bool:
        files = [*self.train_list, *self.test_list, (self.meta["filename"], self.meta["md5"])]
        return all(is_whole(self.file(name), md5) for name, md5 in files)

    def download(self) -> None:
        """Fetch and unpack the archive, unless all files are there."""
        if not self._check_integrity():
            archive = os.path.join(self.root, self.filename)
            download(self.url, archive, self.tgz_md5)
            unpack_tar(archive, self.root)

    def __getitem__(self, index: int):
        return self.transformed(pillow().fromarray(self.data[index]), self.targets[index])

    def __len__(self) -> int:
        return len(self.data)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train is True else 'Test'}"


class CIFAR100(CIFAR10):
    """Like CIFAR-10, with a hundred classes."""

    base_folder = "cifar-100-python"
    url = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    filename = "cifar-100-python.tar.gz"
    tgz_md5 = "eb9058c3a382ffc7106e4002c42a8d85"
    train_list = [["train", "16019d7e3df5f24257cddd939b257f8d"]]
    test_list = [["test", "f0ef6b0ae62326f3e7ffdfab6717acfc"]]
    meta = {"filename": "meta", "key": "fine_label_names", "md5": "7973b15100ade9c7d40fb424638fde48"}
