"""Transforms give torchvision's images for the same seed, on Pillow images and on tensors."""
import random

import numpy as np
import pytest

import rushlight
import rushlight.vision.transforms

from .theirs import torchvision_in_python

torch = pytest.importorskip("torch")
if torch is rushlight:
    pytest.skip("needs PyTorch itself", allow_module_level=True)
Image = pytest.importorskip("PIL.Image")

THEIRS = torchvision_in_python()
RANDOM = np.random.RandomState(0)
NOISE = RANDOM.randint(0, 255, (37, 53, 3), dtype=np.uint8)
SMOOTH = np.clip(RANDOM.randn(37, 53, 3).cumsum(0).cumsum(1) * 3 + 128, 0, 255).astype(np.uint8)

ANY = {
    "flipped": lambda T: T.RandomHorizontalFlip(),
    "upside down": lambda T: T.RandomVerticalFlip(),
    "crop": lambda T: T.RandomCrop(20),
    "padded crop": lambda T: T.RandomCrop((40, 60), 4, pad_if_needed=True, padding_mode="reflect"),
    "resized crop": lambda T: T.RandomResizedCrop(32),
    "bicubic crop": lambda T: T.RandomResizedCrop((16, 40), antialias=False,
                                                  interpolation=T.InterpolationMode.BICUBIC),
    "smaller": lambda T: T.Resize(24),
    "both sizes": lambda T: T.Resize((50, 20)),
    "larger": lambda T: T.Resize(80),
    "nearest": lambda T: T.Resize(20, interpolation=T.InterpolationMode.NEAREST),
    "bounded": lambda T: T.Resize(30, max_size=40),
    "centre": lambda T: T.CenterCrop(24),
    "centre of a larger": lambda T: T.CenterCrop(60),
    "border": lambda T: T.Pad(3, fill=7),
    "mirrored border": lambda T: T.Pad((1, 2, 3, 4), padding_mode="symmetric"),
    "edge": lambda T: T.Pad((5, 2), padding_mode="edge"),
    "jitter": lambda T: T.ColorJitter(0.4, 0.4, 0.4, 0.1),
    "hue": lambda T: T.ColorJitter(hue=0.5),
    "grey": lambda T: T.Grayscale(),
    "three greys": lambda T: T.Grayscale(3),
    "perhaps grey": lambda T: T.RandomGrayscale(0.5),
    "rotated": lambda T: T.RandomRotation(30),
    "rotated, larger": lambda T: T.RandomRotation(
        (10, 80), interpolation=T.InterpolationMode.BILINEAR, expand=True),
    "rotated around": lambda T: T.RandomRotation(45, center=(3, 4), fill=9),
    "affine": lambda T: T.RandomAffine(20, (0.1, 0.2), (0.8, 1.2), 10),
    "sheared": lambda T: T.RandomAffine(
        0, shear=(1, 5, -3, 3), interpolation=T.InterpolationMode.BILINEAR, fill=5),
    "perspective": lambda T: T.RandomPerspective(p=1.0),
    "blurred": lambda T: T.GaussianBlur((3, 7), (1.0, 3.0)),
    "elastic": lambda T: T.ElasticTransform(),
    "inverted": lambda T: T.RandomInvert(),
    "posterised": lambda T: T.RandomPosterize(3),
    "sharp": lambda T: T.RandomAdjustSharpness(2.0),
    "contrast": lambda T: T.RandomAutocontrast(),
    "equalised": lambda T: T.RandomEqualize(),
    "AutoAugment": lambda T: T.AutoAugment(),
    "AutoAugment of CIFAR": lambda T: T.AutoAugment(T.AutoAugmentPolicy.CIFAR10),
    "AutoAugment of SVHN": lambda T: T.AutoAugment(T.AutoAugmentPolicy.SVHN),
    "RandAugment": lambda T: T.RandAugment(),
    "TrivialAugment": lambda T: T.TrivialAugmentWide(),
    "AugMix": lambda T: T.AugMix(),
    "applied": lambda T: T.RandomApply([T.ColorJitter(0.5)]),
    "chosen": lambda T: T.RandomChoice([T.CenterCrop(10), T.CenterCrop(9)]),
    "in any order": lambda T: T.RandomOrder([T.RandomCrop(30), T.RandomHorizontalFlip()]),
    "five": lambda T: T.FiveCrop(10),
    "ten": lambda T: T.TenCrop((12, 10)),
}
PILLOW_ONLY = {
    "erased": lambda T: T.Compose([T.ToTensor(), T.RandomErasing(1.0)]),
    "erased by noise": lambda T: T.Compose([T.ToTensor(), T.RandomErasing(1.0, value="random")]),
    "normalised": lambda T: T.Compose([T.ToTensor(), T.Normalize((.5, .4, .3), (.1, .2, .3))]),
    "bytes": lambda T: T.PILToTensor(),
    "coloured border": lambda T: T.Pad(2, fill=(1, 2, 3)),
    "solarised": lambda T: T.RandomSolarize(100),
}


def as_arrays(value):
    if isinstance(value, (tuple, list)):
        return [array for item in value for array in as_arrays(item)]
    return [np.asarray(value) if isinstance(value, Image.Image) else value.numpy()]


def run(module, transforms, make, pixels, kind, seed):
    module.manual_seed(seed)
    random.seed(seed)
    image = Image.fromarray(pixels)
    if kind == "L":
        image = image.convert("L")
    elif kind != "RGB":
        image = module.from_numpy(pixels.transpose(2, 0, 1).copy())
        image = image.float() / 255 if kind == "float" else image
    return as_arrays(make(transforms)(image)), module.rand(1).item()


def check_same(make, kind):
    """Bytes may differ by one where both round; few do."""
    for pixels in (NOISE, SMOOTH):
        for seed in range(2):
            ours, next_of_ours = run(rushlight, rushlight.vision.transforms, make, pixels, kind, seed)
            theirs, next_of_theirs = run(torch, THEIRS.transforms, make, pixels, kind, seed)
            assert next_of_ours == next_of_theirs and len(ours) == len(theirs)
            for a, b in zip(ours, theirs):
                assert a.shape == b.shape and a.dtype == b.dtype
                off = np.abs(a.astype(float) - b.astype(float)) > (0 if a.dtype == np.uint8 else 2e-5)
                assert off.mean() < 0.03


@pytest.mark.parametrize("kind", ["RGB", "L", "uint8", "float"])
@pytest.mark.parametrize("name", ANY)
def test_transform(name, kind):
    if kind == "float" and name in ("posterised", "equalised", "AutoAugment", "AutoAugment of CIFAR",
                                    "AutoAugment of SVHN", "RandAugment", "TrivialAugment", "AugMix"):
        pytest.skip("needs bytes")
    check_same(ANY[name], kind)


@pytest.mark.parametrize("name", PILLOW_ONLY)
def test_transform_of_images(name):
    check_same(PILLOW_ONLY[name], "RGB")


@pytest.mark.parametrize("name", [*ANY, *PILLOW_ONLY])
def test_printed_alike(name):
    make = {**ANY, **PILLOW_ONLY}[name]
    assert repr(make(rushlight.vision.transforms)) == repr(make(THEIRS.transforms))


# -- transforms of samples ---------------------------------------------------------------------------------
POLICIES = [name for name in ANY if "Aug" in name]
V2_ALIKE = [name for name in ANY if name not in POLICIES]
V2_OWN = {
    "chosen": lambda T: T.RandomChoice([T.RandomHorizontalFlip(1.0), T.CenterCrop(9), T.Pad(2)], [1, 2, 3]),
    "any order": lambda T: T.RandomOrder([T.RandomCrop(20), T.Resize(25), T.ColorJitter(0.5)]),
    "perhaps": lambda T: T.RandomApply([T.RandomCrop((37, 20)), T.RandomRotation(20)], p=0.7),
    "by name": lambda T: T.RandomResizedCrop(12, interpolation="nearest"),
    "image": lambda T: T.Compose([T.ToImage(), T.RandomCrop((30, 53)), T.Resize((20, 21))]),
    "usual": lambda T: T.Compose([T.ToImage(), T.RandomResizedCrop(16), T.RandomHorizontalFlip(),
                                  T.ToDtype(torch_of(T).float32, scale=True),
                                  T.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]), T.RandomErasing(0.9)]),
}


def torch_of(transforms):
    return torch if transforms.__name__.startswith("torchvision") else rushlight


def both_v2():
    import torchvision.transforms.v2

    import rushlight.vision.transforms.v2
    return rushlight.vision.transforms.v2, torchvision.transforms.v2


@pytest.mark.parametrize("kind", ["RGB", "uint8", "float"])
@pytest.mark.parametrize("name", [*V2_ALIKE, *V2_OWN])
def test_transform_of_samples(name, kind):
    if kind == "float" and name in ("posterised", "equalised"):
        pytest.skip("needs bytes")
    make = {**ANY, **V2_OWN}[name]
    for seed in range(2):
        (ours, next_of_ours), (theirs, next_of_theirs) = (
            run(module, v2, make, SMOOTH, kind, seed) for module, v2 in zip((rushlight, torch), both_v2()))
        assert next_of_ours == next_of_theirs and len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            assert a.shape == b.shape and a.dtype == b.dtype
            level = 1 if a.dtype == np.uint8 else 0.021 if name == "usual" else 2e-5        # a byte's, divided by 0.2
            assert (np.abs(a.astype(float) - b.astype(float)) > level).mean() < 0.03


@pytest.mark.parametrize("kind", ["RGB", "uint8"])
@pytest.mark.parametrize("name", POLICIES)
def test_policies_of_samples(name, kind):
    ours, theirs = both_v2()
    for seed in range(6):
        (a,), next_of_ours = run(rushlight, ours, ANY[name], SMOOTH, kind, seed)
        (b,), next_of_theirs = run(torch, theirs, ANY[name], SMOOTH, kind, seed)
        assert next_of_ours == next_of_theirs and a.shape == b.shape and a.dtype == b.dtype
        assert (np.abs(a.astype(float) - b.astype(float)) > 1).mean() < 0.03


def test_policies_change_one_image_and_nothing_else():
    from rushlight.vision import tv_tensors as tv
    v2, _ = both_v2()
    image = tv.Image(rushlight.from_numpy(SMOOTH.transpose(2, 0, 1).copy()))
    made, label = v2.RandAugment(4)(image, rushlight.tensor([3]))
    assert type(made) is tv.Image and label.tolist() == [3]
    video = tv.Video(rushlight.stack([image.as_subclass(rushlight.Tensor)] * 3))
    mixed = v2.AugMix(interpolation="bilinear")({"video": video, "name": "v"})
    assert type(mixed["video"]) is tv.Video and mixed["video"].shape == video.shape and mixed["name"] == "v"
    assert rushlight.equal(*mixed["video"].as_subclass(rushlight.Tensor)[:2])       # all frames alike
    for sample, message in (((image, tv.Mask(image[0])), "Inputs of type Mask are not supported by AutoAugment"),
                            ((image, image), "but found 2"), (("x", 3), "Found no image")):
        with pytest.raises(TypeError, match=message):
            v2.AutoAugment()(*sample)


def test_samples_of_images_masks_and_labels():
    def changed(module, v2, tv):
        module.manual_seed(3)
        pixels = SMOOTH.transpose(2, 0, 1).copy()
        sample = {"image": tv.Image(module.from_numpy(pixels)), "more": [tv.Mask(module.from_numpy(pixels[0] // 90)), 7],
                  "numbers": module.ones(3)}
        make = v2.Compose([v2.RandomResizedCrop(20), v2.RandomHorizontalFlip(), v2.ColorJitter(0.3, 0.3),
                           v2.RandomRotation(30), v2.ToDtype({tv.Image: module.float32, "others": None}, scale=True)])
        made = make(sample)
        return [type(made["image"]).__name__, type(made["more"][0]).__name__, made["more"][1]], \
            [x.numpy() for x in (made["image"], made["more"][0], made["numbers"])]
    import torchvision.tv_tensors

    import rushlight.vision.tv_tensors
    ours, theirs = (changed(module, v2, tv) for module, v2, tv in zip(
        (rushlight, torch), both_v2(), (rushlight.vision.tv_tensors, torchvision.tv_tensors)))
    assert ours[0] == theirs[0] == ["Image", "Mask", 7]
    for a, b in zip(ours[1], theirs[1]):
        assert a.shape == b.shape and a.dtype == b.dtype and (np.abs(a - b.astype(float)) > 0.005).mean() < 0.03


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_mixtures_of_a_batch(name):
    def mixed(module, v2):
        module.manual_seed(1)
        images = module.from_numpy(np.random.RandomState(1).rand(6, 3, 8, 10).astype(np.float32))
        return [x.numpy() for x in getattr(v2, name)(num_classes=5, alpha=0.4)(images, module.arange(6) % 5)]
    for a, b in zip(*(mixed(module, v2) for module, v2 in zip((rushlight, torch), both_v2()))):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def test_fake_data():
    import rushlight.vision.datasets
    ours, theirs = (vision.datasets.FakeData(5, (3, 8, 8), random_offset=3)
                    for vision in (rushlight.vision, THEIRS))
    for (a, i), (b, j) in zip([ours[k] for k in range(5)], [theirs[k] for k in range(5)]):
        assert i == j and (np.asarray(a) == np.asarray(b)).mean() > 0.99


@pytest.mark.parametrize("options", [{}, {"nrow": 2, "padding": 1, "pad_value": 0.5},
                                     {"normalize": True}, {"normalize": True, "scale_each": True},
                                     {"normalize": True, "value_range": (-1, 1)}])
@pytest.mark.parametrize("shape", [(7, 3, 4, 5), (3, 1, 4, 4), (3, 6, 6), (5, 5)])
def test_grids(options, shape):
    import rushlight.vision.utils
    pixels = np.random.RandomState(1).randn(*shape).astype(np.float32)
    ours = rushlight.vision.utils.make_grid(rushlight.from_numpy(pixels), **options)
    theirs = THEIRS.utils.make_grid(torch.from_numpy(pixels), **options)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6)
