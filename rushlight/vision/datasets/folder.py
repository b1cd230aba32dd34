"""Datasets of files in one folder for each class."""
from __future__ import annotations

import os

from rushlight.vision.datasets.vision import VisionDataset
from rushlight.vision.pillow import pillow

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def has_file_allowed_extension(filename: str, extensions) -> bool:
    return filename.lower().endswith(extensions if isinstance(extensions, str) else tuple(extensions))


def is_image_file(filename: str) -> bool:
    return has_file_allowed_extension(filename, IMG_EXTENSIONS)


def find_classes(directory) -> tuple[list[str], dict[str, int]]:
    """The names of a folder's folders, sorted, and their numbers.

    Raises:
        FileNotFoundError: there are none.
    """
    classes = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    if not classes:
        raise FileNotFoundError(f"Couldn't find any class folder in {directory}.")
    return classes, {name: number for number, name in enumerate(classes)}


def make_dataset(directory, class_to_idx=None, extensions=None, is_valid_file=None, allow_empty=False):
    """[(path, class number)] of the files below a folder's folders, in the order of their names.

    Raises:
        ValueError: there are no classes, or not exactly one way to tell which files count.
        FileNotFoundError: a class has no file.
    """
    directory = os.path.expanduser(directory)
    if class_to_idx is None:
        _, class_to_idx = find_classes(directory)
    elif not class_to_idx:
        raise ValueError("'class_to_index' must have at least one entry to collect any samples.")
    if (extensions is None) == (is_valid_file is None):
        raise ValueError("Both extensions and is_valid_file cannot be None or not None at the same time")
    counts = is_valid_file or (lambda path: has_file_allowed_extension(path, extensions))
    found = [(path, class_to_idx[name]) for name in sorted(class_to_idx)
             for path in files_below(os.path.join(directory, name)) if counts(path)]
    empty = set(class_to_idx) - {name for name, number in class_to_idx.items() if number in {n for _, n in found}}
    if empty and not allow_empty:
        hint = "" if extensions is None else "Supported extensions are: " + \
            (extensions if isinstance(extensions, str) else ", ".join(extensions))
        raise FileNotFoundError(f"Found no valid file for the classes {', '.join(sorted(empty))}. {hint}")
    return found


def files_below(directory) -> list[str]:
    return [os.path.join(folder, name) for folder, _, names in sorted(os.walk(directory, followlinks=True))
            for name in sorted(names)]


def pil_loader(path):
    """The image of a file, in RGB."""
    with open(path, "rb") as file:
        return pillow().open(file).convert("RGB")


default_loader = pil_loader


class DatasetFolder(VisionDataset):
    """Files root/class/.../name, loaded by a function.

    Items are (loaded sample, class number), after the transforms; `samples` lists (path, class number).

    Args:
        loader: path -> sample. extensions: of the files that count, or is_valid_file: path -> bool.
        allow_empty: classes without files are no error.

    Raises:
        FileNotFoundError: there are no class folders, or one has no file.
    """

    def __init__(self, root, loader, extensions=None, transform=None, target_transform=None,
                 is_valid_file=None, allow_empty=False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.loader, self.extensions = loader, extensions
        self.classes, self.class_to_idx = self.find_classes(self.root)
        self.samples = self.make_dataset(self.root, self.class_to_idx, extensions, is_valid_file, allow_empty)
        self.targets = [target for _, target in self.samples]

    make_dataset = staticmethod(make_dataset)

    def find_classes(self, directory):
        """The classes of a folder; to be overridden where they are named otherwise."""
        return find_classes(directory)

    def __getitem__(self, index: int):
        path, target = self.samples[index]
        return self.transformed(self.loader(path), target)

    def __len__(self) -> int:
        return len(self.samples)


class ImageFolder(DatasetFolder):
    """Images root/class/.../name; `imgs` is another name for `samples`."""

    def __init__(self, root, transform=None, target_transform=None, loader=default_loader,
                 is_valid_file=None, allow_empty=False):
        super().__init__(root, loader, IMG_EXTENSIONS if is_valid_file is None else None, transform,
                         target_transform, is_valid_file, allow_empty)
        self.imgs = self.samples
