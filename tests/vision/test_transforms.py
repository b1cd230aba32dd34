"""Transforms without torchvision to compare with: what they do to pixels, errors, files."""
import subprocess
import sys

import numpy as np
import pytest

import rushlight
from rushlight.vision import io, utils
from rushlight.vision import transforms as T
from rushlight.vision.transforms import functional as F

Image = pytest.importorskip("PIL.Image")
PIXELS = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
IMAGE = Image.fromarray(PIXELS)
TENSOR = rushlight.from_numpy(PIXELS.transpose(2, 0, 1).copy())


def test_to_tensor_and_back():
    floats = T.ToTensor()(IMAGE)
    assert floats.shape == (3, 4, 5) and floats.dtype is rushlight.float32 and floats[1, 2, 3] == PIXELS[2, 3, 1] / 255
    assert np.array_equal(np.asarray(T.ToPILImage()(floats)), PIXELS)
    assert (T.PILToTensor()(IMAGE) == TENSOR).all()
    grey = T.ToTensor()(IMAGE.convert("L"))
    assert grey.shape == (1, 4, 5)
    assert T.ToTensor()(np.ones((2, 3))).dtype is rushlight.float64
    with pytest.raises(TypeError, match="pic should be PIL Image or ndarray"):
        T.ToTensor()([1])


def test_convert_image_dtype():
    floats = F.convert_image_dtype(TENSOR, rushlight.float32)
    assert floats.max() == TENSOR.max() / 255
    assert (F.convert_image_dtype(floats, rushlight.uint8) == TENSOR).all()
    with pytest.raises(RuntimeError, match="cannot be performed safely"):
        F.convert_image_dtype(floats, rushlight.int64)


@pytest.mark.parametrize("image", [IMAGE, TENSOR])
def test_crops_and_flips_are_parts_of_the_image(image):
    def rows(x):
        return np.asarray(x) if image is IMAGE else x.permute(1, 2, 0).numpy()
    assert np.array_equal(rows(F.crop(image, 1, 2, 2, 3)), PIXELS[1:3, 2:5])
    assert np.array_equal(rows(F.hflip(image)), PIXELS[:, ::-1])
    assert np.array_equal(rows(F.vflip(image)), PIXELS[::-1])
    assert np.array_equal(rows(F.crop(image, -1, -1, 3, 3)), np.pad(PIXELS, ((1, 0), (1, 0), (0, 0)))[:3, :3])
    assert np.array_equal(rows(F.pad(image, [1, 0, 2, 1], padding_mode="edge")),
                          np.pad(PIXELS, ((0, 1), (1, 2), (0, 0)), "edge"))


@pytest.mark.parametrize("make, error, message", [
    (lambda: T.Resize(2.5), TypeError, "Size should be int or sequence"),
    (lambda: T.Resize(4, max_size=3)(IMAGE), ValueError, "must be strictly greater"),
    (lambda: T.RandomCrop(9)(IMAGE), ValueError, r"Required crop size \(9, 9\) is larger than input image size \(4, 5\)"),
    (lambda: T.Normalize([0], [0])(rushlight.ones(1, 2, 2)), ValueError, "std evaluated to zero"),
    (lambda: T.Normalize([0], [1])(TENSOR), TypeError, "Input tensor should be a float tensor"),
    (lambda: T.ColorJitter(brightness=-1), ValueError, "must be non negative"),
    (lambda: T.ColorJitter(hue=1), ValueError, "hue values should be between"),
    (lambda: T.RandomErasing(scale=(0, 2)), ValueError, "Scale should be between 0 and 1"),
    (lambda: T.Pad(2, padding_mode="round"), ValueError, "Padding mode should be either"),
    (lambda: T.GaussianBlur(4), ValueError, "odd and positive"),
    (lambda: T.Lambda(3), TypeError, "Argument lambd should be callable, got 'int'"),
    (lambda: F.hflip(3), TypeError, "img should be PIL Image or Tensor"),
    (lambda: T.Resize(3, interpolation=77), TypeError, "Argument interpolation"),
])
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_save_and_read(tmp_path):
    images = rushlight.rand(5, 3, 6, 7)
    utils.save_image(images, tmp_path / "grid.png", nrow=2, padding=1)
    assert Image.open(tmp_path / "grid.png").size == (2 * 8 + 1, 3 * 7 + 1)
    io.write_png(TENSOR, tmp_path / "one.png")
    assert (io.read_image(tmp_path / "one.png") == TENSOR).all()
    content = rushlight.tensor(list((tmp_path / "one.png").read_bytes()), dtype=rushlight.uint8)
    assert io.decode_image(content, "gray").shape == (1, 4, 5)


def test_boxes_and_masks_are_drawn():
    black = rushlight.zeros(3, 20, 20, dtype=rushlight.uint8)
    boxed = utils.draw_bounding_boxes(black, rushlight.tensor([[2, 3, 10, 12]]), ["a"], "red")
    assert boxed[:, 3, 5].tolist() == [255, 0, 0] and boxed[:, 15, 15].sum() == 0
    mask = rushlight.zeros(20, 20, dtype=rushlight.bool)
    mask[4:6] = True
    shaded = utils.draw_segmentation_masks(black, mask, alpha=0.5, colors="blue")
    assert shaded[:, 5, 0].tolist() == [0, 0, 127] and shaded[:, 0, 0].sum() == 0
    with pytest.raises(ValueError, match="xmin, ymin, xmax, ymax"):
        utils.draw_bounding_boxes(black, rushlight.tensor([[5, 5, 1, 9]]))


def test_without_pillow_the_extra_is_named():
    program = ("import sys; sys.modules['PIL'] = None\n"
               "import rushlight\nfrom rushlight.vision import transforms\n"
               "x = transforms.RandomCrop(2)(rushlight.ones(3, 4, 4))\n"
               "assert x.shape == (3, 2, 2)\n"
               "try:\n    transforms.ToPILImage()(x)\n"
               "except ImportError as error:\n    print(error)\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "images need Pillow: pip install 'rushlight[vision]'\n", done.stderr


def test_under_the_name_torchvision(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import torch, torchvision\nfrom torchvision import datasets, transforms as T\n"
                       "data = datasets.FakeData(4, (3, 8, 8), transform=T.ToTensor())\n"
                       "x, y = next(iter(torch.utils.data.DataLoader(data, 4)))\n"
                       "print(x.shape, torchvision.transforms.functional.hflip(x).shape)\n")
    done = subprocess.run([sys.executable, "-m", "rushlight", "run", program], capture_output=True, text=True)
    assert done.stdout == "torch.Size([4, 3, 8, 8]) torch.Size([4, 3, 8, 8])\n", done.stderr


def test_parts_of_a_sample_are_changed_alike():
    from rushlight.vision import tv_tensors
    from rushlight.vision.transforms import v2
    mask = tv_tensors.Mask(TENSOR[0].clone())
    sample = {"image": tv_tensors.Image(TENSOR), "both": (mask, rushlight.ones(2)), "label": 3}
    change = v2.Compose([v2.RandomCrop(3), v2.RandomHorizontalFlip(), v2.Resize(2, interpolation="nearest")])
    for seed in range(4):
        rushlight.manual_seed(seed)
        made = change(sample)
        assert type(made["image"]) is tv_tensors.Image and type(made["both"][0]) is tv_tensors.Mask
        assert (made["image"][0] == made["both"][0]).all() and made["label"] == 3 and made["both"][1] is sample["both"][1]
    assert v2.ColorJitter(0.5)(sample)["both"][0] is mask
    assert type(tv_tensors.Image(TENSOR) + 1) is rushlight.Tensor
    assert v2.ToDtype(rushlight.float32, scale=True)(v2.ToImage()(IMAGE)).max() == PIXELS.max() / 255
    assert repr(v2.RandomHorizontalFlip(0.2)) == "RandomHorizontalFlip(p=0.2)"


def test_samples_that_are_refused():
    from rushlight.vision import tv_tensors
    from rushlight.vision.transforms import v2
    with pytest.raises(TypeError, match="does not support PIL images"):
        v2.Normalize([0.5], [0.5])(IMAGE)
    with pytest.raises(ValueError, match="larger than padded input image size"):
        v2.RandomCrop(9)(TENSOR)
    with pytest.raises(TypeError, match="not supported by FiveCrop"):
        v2.FiveCrop(2)(TENSOR, tv_tensors.Mask(TENSOR))
    with pytest.raises(ValueError, match="num_classes must be passed"):
        v2.MixUp()(rushlight.rand(2, 3, 4, 4), rushlight.tensor([0, 1]))
    with pytest.raises(ValueError, match="Pass at least one transform"):
        v2.Compose([])
    with pytest.raises(ValueError, match="No dtype was specified"):
        v2.ToDtype({tv_tensors.Mask: rushlight.int64})(TENSOR)
