"""What all image datasets share: a folder and transforms of images and targets."""
from __future__ import annotations

import os

from rushlight.utils.data import Dataset
from rushlight.vision.pillow import pillow


class VisionDataset(Dataset):
    """Base of image datasets.

    Args:
        root: folder of the files. transform: of images. target_transform: of targets.
        transforms: of both together, in place of the other two.

    Raises:
        ValueError: both kinds of transforms are given.
    """

    def __init__(self, root=None, transforms=None, transform=None, target_transform=None):
        self.root = os.path.expanduser(root) if isinstance(root, str) else root
        separate = transform is not None or target_transform is not None
        if transforms is not None and separate:
            raise ValueError("Only transforms or transform/target_transform can be passed as argument")
        self.transform, self.target_transform = transform, target_transform
        self.transforms = StandardTransform(transform, target_transform) if separate else transforms

    def transformed(self, image, target):
        """An image and its target after their own transforms."""
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def __getitem__(self, index):
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def extra_repr(self) -> str:
        return ""

    def __repr__(self) -> str:
        lines = [f"Number of datapoints: {len(self)}"]
        if self.root is not None:
            lines.append(f"Root location: {self.root}")
        lines += self.extra_repr().splitlines()
        if self.transforms is not None:
            lines.append(repr(self.transforms))
        return "\n".join([f"Dataset {type(self).__name__}", *["    " + line for line in lines]])


class GreyImages(VisionDataset):
    """A training or test part held in memory: `data` uint8 (N, H, W), `targets` int64 (N,), `train`."""

    def __getitem__(self, index: int):
        image = pillow().fromarray(self.data[index].numpy())
        return self.transformed(image, int(self.targets[index]))

    def __len__(self) -> int:
        return len(self.data)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class StandardTransform:
    """A transform of images and one of targets, as one."""

    def __init__(self, transform=None, target_transform=None):
        self.transform, self.target_transform = transform, target_transform

    def __call__(self, image, target):
        image = self.transform(image) if self.transform is not None else image
        return image, self.target_transform(target) if self.target_transform is not None else target

    def __repr__(self) -> str:
        parts = [("Transform: ", self.transform), ("Target transform: ", self.target_transform)]
        lines = [type(self).__name__]
        for head, transform in parts:
            if transform is not None:
                first, *rest = repr(transform).splitlines()
                lines += [head + first, *[" " * len(head) + line for line in rest]]
        return "\n".join(lines)
