"""The handwritten digits that come with scikit-learn: real images without a download."""
from __future__ import annotations

import rushlight
from rushlight.vision.datasets.vision import GreyImages

LEVELS = 16         # of grey in scikit-learn's images
TRAINING = 1500     # images, of 1797


class Digits(GreyImages):
    """8 x 8 digits (Alpaydin & Kaynak, UCI Optical Recognition of Handwritten Digits, 1998).

    Items are (Pillow image, int), after the transforms. `data` is uint8 (N, 8, 8), `targets` int64 (N,):
    1,500 for training, 297 for tests.

    Raises:
        ImportError: scikit-learn is not installed; names the extra.
    """

    classes = [str(digit) for digit in range(10)]

    def __init__(self, root=None, train=True, transform=None, target_transform=None, download=False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise ImportError("Digits needs scikit-learn: pip install 'rushlight[examples]'") from error
        images, labels = load_digits(return_X_y=True)
        part = slice(0, TRAINING) if train else slice(TRAINING, None)
        grey = (images.reshape(-1, 8, 8) * 255 / LEVELS).round()
        self.train = train
        self.data = rushlight.tensor(grey[part]).to(rushlight.uint8)
        self.targets = rushlight.tensor(labels[part])
