"""The note "Intro 2 pytorch (cs285)": autograd's rules, functions, hooks, datasets, VGG-16.

    rushlight run examples/notes/intro_to_pytorch.py

Everything in it that is code, with what it states asserted. Where the note slips, the right spelling
stands here (`arange`, `img_path`, ...). MNIST is not downloaded: made pictures of the same size stand in.
`visdom` is rushlight's own client unless visdom is installed; plots appear with `--visdom`, when a
server runs.
"""
import argparse
import os
import tempfile
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from torchvision.utils import make_grid, save_image
from visdom import Visdom


@contextmanager
def raises(kind, words):
    try:
        yield
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"no {kind.__name__}: {words}")


def autograd_rules():
    leaf = torch.ones(2, requires_grad=True)
    with raises(RuntimeError, "a leaf Variable that requires grad is being used in an in-place"):
        leaf.add_(1)
    with raises(RuntimeError, "a view of a leaf Variable that requires grad is being used"):
        leaf[:1].add_(1)
    with raises(RuntimeError, "Can't call numpy() on Tensor that requires grad."):
        leaf.numpy()
    y = leaf * 2
    y.add_(1)                       # what is not a leaf may be changed,
    assert "AddBackward0" in str(y)
    saved = leaf * 2
    squared = saved * saved
    saved.add_(1)                   # but not what a gradient still needs
    with raises(RuntimeError, "has been modified by an inplace operation"):
        squared.sum().backward()

    y.detach()[0] = 7               # the same memory
    assert y[0] == 7
    y.detach().numpy()[1] = 8
    assert y[1] == 8
    y.detach().clone()[0] = 0       # its own
    assert y.tolist() == [7, 8] and not y.detach().requires_grad


class Walk:
    """A simulator in NumPy: a place on a line, reward for coming near 0."""

    def reset(self):
        self.place = np.array([3.0], dtype=np.float32)
        return self.place.copy()

    def step(self, action):
        self.place += action
        return self.place.copy(), float(-abs(self.place[0])), bool(abs(self.place[0]) < 0.1)


def simulator_border():
    """NumPy for the simulator, tensors for the model, and back."""
    env, model = Walk(), nn.Linear(1, 1)
    observation, rewards = env.reset(), []
    for _ in range(3):
        action = model(torch.from_numpy(observation)).clamp(-1, 1)
        observation, reward, _ = env.step(action.detach().numpy())
        rewards.append(reward)
    assert len(rewards) == 3


def creation():
    assert str(torch.arange(5)) == "tensor([0, 1, 2, 3, 4])"
    assert torch.arange(1, 10, 3).tolist() == [1, 4, 7]
    with raises(AttributeError, "arrange"):
        torch.arrange(5)
    for x in (torch.rand(2, 3, dtype=torch.float64, device="cpu", requires_grad=True),
              torch.zeros(2, dtype=torch.float64, device="cpu", requires_grad=True)):
        assert x.dtype == torch.float64 and x.requires_grad
    with raises(RuntimeError, "Only Tensors of floating point and complex dtype can require grad"):
        torch.arange(3, requires_grad=True)
    assert torch.randint(0, 4, (3, 2)).max() < 4
    assert torch.randint_like(torch.rand(50), 0, 3).unique().tolist() == [0.0, 1.0, 2.0]
    assert torch.randn(4).shape == torch.randn_like(torch.rand(4)).shape
    with raises(TypeError, "randn_like"):
        torch.randn_like(torch.rand(4), low=0, high=1)
    assert torch.randperm(9).sort().values.tolist() == list(range(9))


def functions():
    most = torch.max(torch.tensor([[1, 5], [7, 2]]), 1)
    print(most)
    assert most.values.tolist() == [5, 7] and most.indices.tolist() == [1, 0]
    x = torch.tensor([[1, 2], [3, 4]])
    assert torch.gather(x, 1, torch.tensor([[0, 0], [1, 0]])).tolist() == [[1, 1], [4, 3]]
    with raises(TypeError, "argument 'index' (position 3) must be Tensor, not list"):
        torch.gather(x, 1, [[0, 0], [1, 0]])
    with raises(RuntimeError, "index 2 is out of bounds for dimension 1 with size 2"):
        torch.gather(x, 1, torch.tensor([[2, 0]])).tolist()

    row = torch.rand(2, 3)
    assert torch.unsqueeze(row, 1).shape == (2, 1, 3) and row.unsqueeze(-1).shape == (2, 3, 1)
    with raises(IndexError, "expected to be in range of [-3, 2], but got 5"):
        row.unsqueeze(5)
    assert torch.squeeze(torch.rand(4, 1, 2, 1, 3, 1, 5)).shape == (4, 2, 3, 5)
    assert torch.rand(4, 1, 2).squeeze(0).shape == (4, 1, 2)
    assert torch.rand(4, 1, 2).squeeze(1).shape == (4, 2)


def scatter():
    index, source = torch.randint(0, 3, (2, 3, 4)), torch.rand(2, 3, 4)
    for dim in range(3):
        expected = torch.zeros(3, 3, 4)
        for i, j, k in np.ndindex(2, 3, 4):
            place = [i, j, k]
            place[dim] = index[i, j, k].item()
            expected[tuple(place)] = source[i, j, k]
        assert torch.equal(torch.zeros(3, 3, 4).scatter(dim, index, source), expected)
    by_number = torch.zeros(2, 3).scatter(1, torch.tensor([[0], [2]]), 1.5)
    assert by_number.tolist() == [[1.5, 0, 0], [0, 0, 1.5]]


def hooks():
    layer, seen = nn.Linear(2, 2), []
    handle = layer.register_forward_hook(lambda module, args, output: seen.append(args[0].shape))
    layer(torch.ones(3, 2))
    handle.remove()
    layer(torch.ones(4, 2))
    assert seen == [(3, 2)]
    with layer.register_forward_hook(lambda module, args, output: output * 0):
        assert layer(torch.ones(3, 2)).count_nonzero() == 0

    everywhere = register_module_forward_hook(lambda module, args, output: seen.append(module))
    nn.Sequential(nn.ReLU(), nn.Tanh())(torch.ones(1))
    everywhere.remove()
    assert [type(m).__name__ for m in seen[1:]] == ["ReLU", "Tanh", "Sequential"]

    cache = []

    def func(grad):
        cache.append(grad)
        return grad * 10

    x = torch.ones(1, requires_grad=True)
    y = 2 * x
    y.register_hook(func)
    y.backward()
    assert cache[0].tolist() == [1.0] and x.grad.tolist() == [20.0]
    with raises(RuntimeError, "cannot register a hook on a tensor that doesn't require gradient"):
        torch.ones(1).register_hook(func)


class Pictures(torch.utils.data.Dataset):
    """Pictures of root/picture, and the numbers in the file of the same number in root/descript."""

    def __init__(self, root, transform=None, target_transform=None):
        self.root, self.transform, self.target_transform = root, transform, target_transform
        self.imgs = sorted(os.listdir(os.path.join(root, "picture")))
        self.labels = sorted(os.listdir(os.path.join(root, "descript")))

    def __len__(self):
        return len(self.imgs)

    def __getitem__(self, idx):
        img_path = os.path.join(self.root, "picture", self.imgs[idx])
        label_path = os.path.join(self.root, "descript", self.labels[idx])
        img = Image.open(img_path).convert("RGB")
        label_list = []
        with open(label_path) as label_file:
            for line in label_file:
                label_list += [float(i) for i in line.strip("\n").split()]
        label = torch.tensor(np.array(label_list))
        if self.transform is not None:
            img = self.transform(img)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return img, label


def write_pictures(root, count):
    for folder in ("picture", "descript"):
        os.makedirs(os.path.join(root, folder))
    for i in range(count):
        pixels = np.full((6, 5, 3), 255, np.uint8)
        Image.fromarray(pixels).save(os.path.join(root, "picture", f"{i}.png"))
        with open(os.path.join(root, "descript", f"{i}.txt"), "w") as f:
            f.write(f"{i} 0.5\n1.5\n")


def dataset_and_transforms():
    std_normalize = transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    trans = transforms.Compose([transforms.ToTensor(), std_normalize])
    with tempfile.TemporaryDirectory() as root:
        write_pictures(root, 3)
        pictures = Pictures(root, trans, lambda label: label.sum())
        assert len(pictures) == 3
        images, labels = next(iter(DataLoader(pictures, batch_size=3)))
    assert images.shape == (3, 3, 6, 5) and labels.dtype == torch.float64
    assert labels.tolist() == [2.0, 3.0, 4.0]
    white = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(images[0, :, 0, 0], white)

    target_transform = transforms.Lambda(lambda y: torch.zeros(
        10, dtype=torch.float).scatter_(dim=0, index=torch.tensor(y), value=1))
    assert target_transform(3).tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def first_batch():
    """A shuffled batch as a grid of pictures, 16 in a row."""
    made = datasets.FakeData(size=256, image_size=(1, 28, 28), num_classes=10,
                             transform=transforms.Compose([transforms.ToTensor()]))
    sample = next(iter(DataLoader(made, batch_size=128, shuffle=True)))
    print(sample[0].shape)
    print(sample[1].shape)
    assert str(sample[0].shape) == "torch.Size([128, 1, 28, 28])"
    assert str(sample[1].shape) == "torch.Size([128])"
    grid = make_grid(sample[0], nrow=16)
    assert grid.shape == (3, 8 * 30 + 2, 16 * 30 + 2)
    with tempfile.TemporaryDirectory() as folder:
        save_image(grid, os.path.join(folder, "batch.png"))
        assert Image.open(os.path.join(folder, "batch.png")).size == (482, 242)
    return sample


class VGGNet(nn.Module):
    """VGG-16: a number is a convolution with that many channels, 'M' a pooling."""

    def __init__(self, num_classes=1000):
        super().__init__()
        vgg_block = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M",
                     512, 512, 512, "M"]
        self.features = self._make_layers(vgg_block)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(4096, num_classes))

    def forward(self, x):
        x = self.features(x)
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        return self.classifier(x)

    def _make_layers(self, vgg_block):
        layers = []
        in_channels = 3
        for v in vgg_block:
            if v == "M":
                layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
            else:
                layers += [nn.Conv2d(in_channels, v, kernel_size=3, padding=1),
                           nn.ReLU(inplace=True)]
                in_channels = v
        return nn.Sequential(*layers)


def vgg():
    model = VGGNet()
    count = sum(p.numel() for p in model.parameters())
    print(f"VGG-16 has {count:,} parameters")
    assert count == 138_357_544
    with torch.no_grad():
        assert model.features(torch.rand(1, 3, 64, 64)).shape == (1, 512, 2, 2)
        assert model.avgpool(torch.rand(1, 512, 2, 2)).shape == (1, 512, 7, 7)
    assert model.classifier[6].out_features == 1000


def plots(sample):
    """In the browser, at http://localhost:8097: start `visdom` before."""
    viz = Visdom()
    x = np.arange(0, 10, 0.1)
    viz.line(Y=np.sin(x), X=x, opts=dict(title="y = sin(x)"))
    points = np.column_stack((np.random.rand(100), np.random.rand(100)))
    viz.scatter(X=points, opts=dict(title="Scatter Plot"))
    viz.bar(X=np.random.rand(10), opts=dict(title="Bar Plot"))
    line = viz.line(Y=np.random.rand(10), opts=dict(title="Updating Line Plot"))
    scatter = viz.scatter(X=np.random.rand(100, 2), opts=dict(title="Updating Scatter Plot"))
    for i in range(10):
        viz.line(Y=np.random.rand(1), X=np.array([10 + i]), win=line, update="append")
        viz.scatter(X=np.random.rand(1, 2), win=scatter, update="append")
    viz = Visdom(env="main")
    viz.images(sample[0], nrow=16, win="mnist", opts=dict(title="mnist"))
    viz.save(envs=["main"])             # loaded again by `visdom -load main.json`


def main():
    parser = argparse.ArgumentParser(description="What the note shows, asserted.")
    parser.add_argument("--visdom", action="store_true", help="draw in a running visdom server")
    args = parser.parse_args()

    torch.manual_seed(0)
    autograd_rules()
    simulator_border()
    creation()
    functions()
    scatter()
    hooks()
    dataset_and_transforms()
    sample = first_batch()
    if args.visdom:
        plots(sample)
    vgg()


if __name__ == "__main__":
    main()
