"""MNIST and what has its file format.

The files (idx, big-endian: LeCun, Cortes & Burges, THE MNIST DATABASE) lie in root/NAME/raw,
packed or not.
"""
from __future__ import annotations

import gzip
import os
import struct

import numpy as np

import rushlight
from rushlight.utils.download import download, is_whole
from rushlight.vision.datasets.vision import GreyImages

DTYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
DIGITS = "zero one two three four five six seven eight nine".split()


def read_idx(path: str) -> rushlight.Tensor:
    """The array of an idx file, which may be packed by gzip.

    Raises:
        ValueError: the file is cut, or of another kind.
    """
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        data = file.read()
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in DTYPES:
        raise ValueError(f"{path} is not an idx file")
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    dtype = np.dtype(DTYPES[data[2]])
    start = 4 + 4 * data[3]
    if len(data) - start != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
        raise ValueError(f"{path} holds {len(data) - start} bytes, not an array of {shape}")
    array = np.frombuffer(data, dtype, offset=start).reshape(shape)
    return rushlight.from_numpy(array.astype(dtype.newbyteorder("=")))


class MNIST(GreyImages):
    """Handwritten digits, 28 x 28, 60,000 for training and 10,000 for tests (LeCun et al., 1998).

    Items are (Pillow image, int), after the transforms. `data` is uint8 (N, 28, 28), `targets` int64 (N,).

    Args:
        root: folder in which NAME/raw lies. train: the training or the test part.
        download: fetch the files if they are not there.

    Raises:
        RuntimeError: the files are not there, or cannot be fetched.
    """

    mirrors = ["https://ossci-datasets.s3.amazonaws.com/mnist/",
               "http://yann.lecun.com/exdb/mnist/"]
    resources = [("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
                 ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
                 ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
                 ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c")]
    classes = [f"{number} - {name}" for number, name in enumerate(DIGITS)]

    def __init__(self, root, train=True, transform=None, target_transform=None, download=False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        if download:
            self.download()
        if not self._check_exists():
            raise RuntimeError(f"Dataset not found in {self.raw_folder}. You can use download=True to "
                               "download it")
        self.data, self.targets = self._load_data()

    @property
    def raw_folder(self) -> str:
        return os.path.join(self.root, type(self).__name__, "raw")

    @property
    def class_to_idx(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.classes)}

    def file(self, name: str) -> str | None:
        """The path of a file, unpacked or packed; None if there is neither."""
        packed = os.path.join(self.raw_folder, name)
        return next((path for path in (packed.removesuffix(".gz"), packed) if os.path.isfile(path)), None)

    def names(self) -> list[str]:
        return [name for name, _ in self.resources[0 if self.train else 2:][:2]]

    def _check_exists(self) -> bool:
        return all(self.file(name) for name in self.names())

    def _load_data(self):
        images, labels = (read_idx(self.file(name)) for name in self.names())
        if images.dim() != 3 or labels.dim() != 1 or len(images) != len(labels):
            raise ValueError(f"{self.raw_folder}: {tuple(images.shape)} images, {tuple(labels.shape)} labels")
        return images, labels.long()

    def download(self) -> None:
        """Fetch the four files, unless they are there."""
        for name, md5 in self.resources:
            path = os.path.join(self.raw_folder, name)
            if not os.path.isfile(path.removesuffix(".gz")) and not is_whole(path, md5):
                download([mirror + name for mirror in self.mirrors], path, md5)


class FashionMNIST(MNIST):
    """Articles of clothing in MNIST's format: Xiao, Rasul & Vollgraf (2017)."""

    mirrors = ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"]
    resources = [("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
                 ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
                 ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
                 ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310")]
    classes = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
               "Ankle boot"]


class KMNIST(MNIST):
    """Cursive Japanese characters in MNIST's format: Clanuwat et al. (2018)."""

    mirrors = ["http://codh.rois.ac.jp/kmnist/dataset/kmnist/"]
    resources = [("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
                 ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
                 ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
                 ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134")]
    classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]
