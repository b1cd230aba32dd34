"""Random images, the same for the same index."""
from __future__ import annotations

import rushlight
from rushlight.vision.datasets.vision import VisionDataset
from rushlight.vision.transforms import functional as F


class FakeData(VisionDataset):
    """`size` normally distributed images (C, H, W) as Pillow images, with random classes.

    Item i is drawn with the seed i + random_offset; the global generator stays as it is.
    """

    def __init__(self, size=1000, image_size=(3, 224, 224), num_classes=10, transform=None,
                 target_transform=None, random_offset=0):
        super().__init__(transform=transform, target_transform=target_transform)
        self.size, self.image_size, self.num_classes = size, image_size, num_classes
        self.random_offset = random_offset

    def __getitem__(self, index: int):
        if index >= len(self):
            raise IndexError(f"{type(self).__name__} index out of range")
        generator = rushlight.Generator().manual_seed(index + self.random_offset)
        pixels = rushlight.randn(*self.image_size, generator=generator)
        target = rushlight.randint(0, self.num_classes, (1,), generator=generator)[0]
        image, target = self.transformed(F.to_pil_image(pixels), target)
        return image, int(target)

    def __len__(self) -> int:
        return self.size
