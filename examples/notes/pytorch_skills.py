"""The note on PyTorch's tricks: views, masks, convolutions, losses, loaders, search.

    rushlight run examples/notes/pytorch_skills.py

Everything in it that is code, with what it states asserted; slips are corrected (`arange(12)` for
`range(12)`, `full` for `fill`, one-hot targets in one dtype, a receptive field that is computed
backwards, the backend gloo, which needs no GPU, ...).
"""
import copy
import io
import json
import math
import os
import random
import re
import socket
import tempfile
from argparse import ArgumentParser
from contextlib import contextmanager

import numpy as np
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import nn
from torch.distributed import destroy_process_group, init_process_group
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset, IterableDataset
from torch.utils.data.distributed import DistributedSampler
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm


@contextmanager
def raises(kind, words):
    try:
        yield
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"no {kind.__name__}: {words}")


# -- around the tensors ----------------------------------------------------------------------------

def tensorboard(folder):
    """Two writers on one folder, curves in groups."""
    for _ in range(2):
        with SummaryWriter(log_dir=os.path.join(folder, "runs/exp1")) as writer:
            for n_iter in range(10):
                for name in ("Loss/train", "Loss/test", "Accuracy/train", "Accuracy/test"):
                    writer.add_scalar(name, np.random.random(), n_iter)
    assert len(os.listdir(os.path.join(folder, "runs/exp1"))) >= 1


def python_tricks():
    rows = [("a", 1, 3), ("b", 2, 1), ("c", 3, 2)]
    assert [row[0] for row in sorted(rows, key=lambda i: i[2], reverse=False)] == ["b", "c", "a"]
    assert list(zip([1, 2, 3], [1, 2, 3])) == [(1, 1), (2, 2), (3, 3)]
    assert {name: 0 for name in ("cat", "dog")}.items() == {("cat", 0), ("dog", 0)}  # noqa: C420
    assert list(enumerate("ab")) == [(0, "a"), (1, "b")] and next(iter([7, 8])) == 7
    assert os.path.join("/Desktop", "test.txt") == os.path.join("/Desktop/", "test.txt")
    found = re.match(r"^([\w\.\-]+)\s+.+\s+([0-9]+)\s+([0-9e\-\.]+)\s+[0-9]+$",
                     "1bct.A  some words 12 3e-5 7")
    assert found.groups() == ("1bct.A", "12", "3e-5")
    assert re.match("b", "ab") is None and re.search("b", "ab") and re.findall("a.", "abac") == ["ab", "ac"]
    assert [i for i in tqdm(range(3), disable=True)] == [0, 1, 2]   # noqa: C416


def copies():
    outer = [1, [2, 3]]
    name, shallow, deep = outer, copy.copy(outer), copy.deepcopy(outer)
    outer[1].append(4)
    assert name is outer and shallow[1] is outer[1] and deep == [1, [2, 3]]
    layer = nn.Linear(2, 2)
    twin = copy.deepcopy(layer)
    assert torch.equal(twin.weight, layer.weight) and twin.weight is not layer.weight
    with raises(RuntimeError, "Only Tensors created explicitly by the user"):
        copy.deepcopy(layer.weight * 2)


def command_line():
    parser = ArgumentParser()
    parser.add_argument("square", help="display a square of a given number", type=int)
    parser.add_argument("--abc", "-a", default=3)
    parser.add_argument("--flag", action="store_true")
    parser.add_argument("--few", type=int, choices=[1, 2, 3, 4])
    parser.add_argument("-v", action="count")
    args = parser.parse_args(["5", "--flag", "-vv"])
    assert (args.square, args.abc, args.flag, args.few, args.v) == (5, 3, True, None, 2)


def json_lines(folder):
    file = os.path.join(folder, "chain_set.jsonl")
    with open(file, "w") as f:
        f.write('{"name": "1bct.A"}\nbroken\n{"name": "2fyz.A"}\n')
    data = []
    with open(file) as f:
        for line in f:
            try:
                data.append(json.loads(line.replace("\n", "")))
            except ValueError:
                pass
    assert [chain["name"] for chain in data] == ["1bct.A", "2fyz.A"]
    assert json.load(io.StringIO('{"test": ["1bct.A"], "train": []}'))["test"] == ["1bct.A"]


# -- tensors ---------------------------------------------------------------------------------------

def broadcasting():
    a, b = torch.tensor([0.0, 10.0, 20.0, 30.0]), torch.tensor([1.0, 2.0, 3.0])
    assert (a[:, None] + b).tolist() == [[1, 2, 3], [11, 12, 13], [21, 22, 23], [31, 32, 33]]
    assert (a.reshape(-1, 1) * b).tolist() == [[0, 0, 0], [10, 20, 30], [20, 40, 60], [30, 60, 90]]
    shapes = torch.broadcast_shapes((5, 1), (1, 6), (6,), ())
    assert shapes == (5, 6)
    with raises(RuntimeError, "The size of tensor a (3) must match the size of tensor b (4)"):
        torch.ones(2, 3) + torch.ones(2, 4)

    s, r, c_m, c_z = 4, 5, 3, 2
    msa, feature = torch.rand(s, r, c_m), torch.rand(r, c_z)
    outer = torch.einsum("sia,sjb->ijab", msa, msa) / s
    one_pair = (msa[:, 1, :, None] * msa[:, 2, None, :]).mean(0)
    torch.testing.assert_close(outer[1, 2], one_pair)
    assert nn.Linear(c_m * c_m, c_z)(outer.flatten(2)).shape == (r, r, c_z)
    assert (feature[None] + feature[:, None]).shape == (r, r, c_z)


class LayerNorm(nn.Module):
    """Step by step, with the unbiased deviation; nn.LayerNorm takes the biased variance."""

    def __init__(self, features, eps=1e-6):
        super().__init__()
        self.a_2 = nn.Parameter(torch.ones(features))
        self.b_2 = nn.Parameter(torch.zeros(features))
        self.eps = eps

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        std = x.std(-1, keepdim=True)
        return self.a_2 * (x - mean) / (std + self.eps) + self.b_2


def layer_norm():
    x = torch.randn(2, 5, 16)
    ours, theirs = LayerNorm(16)(x), nn.LayerNorm(16)(x)
    torch.testing.assert_close(ours * math.sqrt(16 / 15), theirs, rtol=1e-3, atol=1e-4)


def is_contiguous(tensor):
    """Strides from the last axis on are the products of the sizes after them."""
    z, d = 1, tensor.dim() - 1
    size, stride = tensor.size(), tensor.stride()
    while d >= 0:
        if size[d] != 1:
            if stride[d] != z:
                return False
            z *= size[d]
        d -= 1
    return True


def contiguity():
    a = torch.arange(12).reshape(3, 4)
    b = a.transpose(0, 1)
    c = b.contiguous()
    assert (a.is_contiguous(), b.is_contiguous(), c.is_contiguous()) == (True, False, True)
    assert a.data_ptr() == b.data_ptr() and b.data_ptr() != c.data_ptr()
    assert (a.stride(), b.stride(), c.stride()) == ((4, 1), (1, 4), (3, 1))
    assert a.contiguous() is a and torch.ones(1, 5).t().is_contiguous()
    for x in (a, b, c, a[:, ::2], a[1:], torch.ones(1, 5).t()):
        assert is_contiguous(x) == x.is_contiguous()
    assert a[0::2].tolist() == [[0, 1, 2, 3], [8, 9, 10, 11]]


def numbers_and_nan():
    nan = torch.tensor(torch.nan)
    assert not nan == nan and nan.isnan() and torch.tensor(math.inf).isinf()
    x = torch.arange(10.0)
    x[3] = torch.nan
    assert x.sum().isnan() and x.nansum() == 42.0
    assert not torch.isfinite(x)[3] and np.float32(np.arange(3)).dtype == np.float32
    assert torch.full((2, 3), 7).dtype == torch.int64
    with raises(RuntimeError, "a Tensor with 2 elements cannot be converted to Scalar"):
        torch.ones(2).item()
    y = torch.tensor([[1, 0], [1, 1]])
    assert (y == 1).sum() == 3 and (y == 1).sum(axis=0).tolist() == [2, 1]


def joining():
    x = torch.ones(2, 3)
    assert torch.cat((x, x), 1).shape == (2, 6) and torch.stack((x, x)).shape == (2, 2, 3)
    x = torch.tensor([[1, 2], [3, 4]])
    assert torch.repeat_interleave(x, 2).tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert torch.repeat_interleave(x, torch.tensor([1, 2]), 0).tolist() == [[1, 2], [3, 4], [3, 4]]
    with raises(RuntimeError, "repeats must have the same size as input along dim"):
        torch.repeat_interleave(x, torch.tensor([1, 2, 3]), 0)
    assert torch.tensor([1, 2, 3]).repeat(2, 2).tolist() == [[1, 2, 3, 1, 2, 3]] * 2
    assert F.pad(torch.ones(2, 2), (1, 2)).shape == (2, 5)


def multinomial():
    weights = torch.tensor([[0.0, 1, 0, 3], [1, 1, 1, 1]])
    assert torch.multinomial(weights, 2).shape == (2, 2)
    assert sorted(torch.multinomial(weights[0], 2).tolist()) == [1, 3]
    assert set(torch.multinomial(weights[0], 4).tolist()[2:]) == {0, 2}
    assert torch.multinomial(weights[0], 9, replacement=True).shape == (9,)
    with raises(RuntimeError, "cannot sample n_sample > prob_dist.size(-1) samples without"):
        torch.multinomial(weights, 5)
    with raises(RuntimeError, "invalid multinomial distribution"):
        torch.multinomial(torch.zeros(3), 1).tolist()


def one_hot():
    label = torch.tensor([0, 1, 0, 2, 3, 2]).view(-1, 1)
    src = torch.ones_like(label, dtype=torch.float)
    by_scatter = torch.zeros(len(label), 4).scatter_(dim=1, index=label, src=src)
    assert torch.equal(by_scatter, F.one_hot(label[:, 0], num_classes=-1).float())
    with raises(RuntimeError, "scatter(): Expected self.dtype to be equal to src.dtype"):
        torch.zeros(6, 4).scatter_(1, label, torch.ones_like(label))
    with raises(RuntimeError, "Class values must be smaller than num_classes."):
        F.one_hot(label, 2)


def sparse():
    indices, values = torch.tensor([[0, 0, 1], [2, 2, 0]]), torch.tensor([1.0, 2.0, 4.0])
    coo = torch.sparse_coo_tensor(indices, values, (2, 3))
    with raises(RuntimeError, "Cannot get indices on an uncoalesced tensor"):
        coo.indices()
    assert coo.coalesce().values().tolist() == [3.0, 4.0]
    dense = coo.to_dense()
    assert dense.tolist() == [[0, 0, 3], [4, 0, 0]]
    csr = dense.to_sparse_csr()
    print(csr)
    assert csr.crow_indices().tolist() == [0, 1, 2] and csr.col_indices().tolist() == [2, 0]
    assert torch.equal(dense.to_sparse().to_dense(), dense)


def detaching():
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    assert y.detach().data_ptr() == y.data_ptr() and y.clone().data_ptr() != y.data_ptr()
    assert not y.clone().detach().requires_grad
    y.detach_()
    assert y.is_leaf
    with raises(RuntimeError, "Can't detach views in-place"):
        (x * 2).view(2, 1).detach_()


# -- masks and attention ---------------------------------------------------------------------------

VOCAB = "ACDEFGHIKLMNPQRSTVWY"


def embed_protein(amino_acid_residues):
    """One-hot rows (length, 20) of float64."""
    index = torch.tensor([VOCAB.index(i) for i in amino_acid_residues]).view(-1, 1)
    src = torch.ones_like(index, dtype=float)
    temp = torch.zeros((len(amino_acid_residues), len(VOCAB)), dtype=float)
    return temp.scatter_(dim=1, index=index, src=src).numpy()


def pad_one_hot_sequence(sequence, target_length):
    pad_length = target_length - sequence.shape[0]
    if pad_length < 0:
        raise ValueError("Cannot set a negative amount of padding. Sequence length was "
                         f"{sequence.shape[0]}, target_length was {target_length}.")
    return np.pad(sequence, [[0, pad_length], [0, 0]], mode="constant")


def padding():
    proteins = [embed_protein(name) for name in ("ACDY", "WYV")]
    batch = torch.from_numpy(np.stack([pad_one_hot_sequence(p, 5) for p in proteins]))
    assert batch.shape == (2, 5, 20) and batch.sum() == 7 and batch.dtype == torch.float64
    assert (batch.sum(-1) > 0)[1].tolist() == [True, True, True, False, False]
    with raises(ValueError, "Cannot set a negative amount of padding. Sequence length was 4"):
        pad_one_hot_sequence(proteins[0], 3)


def subsequent_mask(size):
    """True where a position may look."""
    attn_shape = (1, size, size)
    return torch.from_numpy(np.triu(np.ones(attn_shape), k=1).astype("uint8")) == 0


def attention(query, key, value, mask=None, dropout=None):
    d_k = query.size(-1)
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(d_k)
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    p_attn = F.softmax(scores, dim=-1)
    if dropout is not None:
        p_attn = dropout(p_attn)
    return torch.matmul(p_attn, value), p_attn


def masked_attention():
    query, key, value = torch.rand(30, 8, 10, 64), torch.rand(30, 8, 11, 64), torch.rand(30, 8, 11, 64)
    output, p_attn = attention(query, key, value)
    assert output.shape == (30, 8, 10, 64) and p_attn.shape == (30, 8, 10, 11)
    torch.testing.assert_close(output, F.scaled_dot_product_attention(query, key, value))

    real = torch.tensor([True, True, True, False])[None, None, :]
    mask = real & subsequent_mask(4)
    assert torch.equal(subsequent_mask(4)[0].int(), torch.ones(4, 4).tril().int())
    _, p_attn = attention(*[torch.rand(1, 4, 8)] * 3, mask, nn.Dropout(0.0))
    assert torch.equal(p_attn > 0, mask)
    with raises(RuntimeError, "masked_fill_ only supports boolean masks"):
        torch.ones(2).masked_fill(torch.tensor([0, 1]), 0)
    assert F.softmax(torch.tensor([1, -1e9, 2]), -1)[1] == 0


# -- networks --------------------------------------------------------------------------------------

class Net1(nn.Module):
    def __init__(self, layer, n):
        super().__init__()
        self.net = nn.ModuleList([layer for _ in range(n)])

    def forward(self, x):
        for layer in self.net:
            x = layer(x)
        return x


class Net2(nn.Module):
    def __init__(self, layer, n):
        super().__init__()
        self.net = nn.Sequential(*[layer for _ in range(n)])

    def forward(self, x):
        return self.net(x)


class Toy(nn.Module):
    """Activations of `net` are computed again in backward."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 10), nn.Tanh(), nn.Dropout(0.5))

    def forward(self, x):
        return checkpoint(self.net, x, use_reentrant=False)


def containers_and_checkpoints():
    layer, x = nn.Linear(4, 4), torch.rand(2, 4)
    assert torch.equal(Net1(layer, 3)(x), Net2(layer, 3)(x))
    assert len(list(Net1(layer, 3).parameters())) == 2

    toy, x = Toy(), torch.rand(3, 10)
    gradients = []
    for run in (toy, toy.net):
        torch.manual_seed(1)
        toy.zero_grad()
        run(x).sum().backward()
        gradients.append(toy.net[0].weight.grad.clone())
    torch.testing.assert_close(*gradients)

    class Forgetful(nn.Module):
        def __init__(self):
            self.net = nn.Linear(1, 1)

    with raises(AttributeError, "cannot assign module before Module.__init__() call"):
        Forgetful()


def out_size(n, k, s=1, p=0, d=1):
    return (n + 2 * p - d * (k - 1) - 1) // s + 1


def convolutions():
    x = torch.rand(1, 2, 7, 8)
    for k, s, p, d in ((3, 1, 0, 1), (3, 2, 1, 1), (5, 1, 2, 1), (3, 1, 0, 2), (1, 1, 0, 1)):
        conv = nn.Conv2d(2, 4, k, s, p, d)
        assert conv(x).shape == (1, 4, out_size(7, k, s, p, d), out_size(8, k, s, p, d))
        assert conv.weight.shape == (4, 2, k, k)
    assert nn.Conv2d(2, 4, 3, padding="valid")(x).shape == (1, 4, 5, 6)
    assert nn.Conv2d(2, 4, 5, padding="same")(x).shape == (1, 4, 7, 8)
    with raises(ValueError, "padding='same' is not supported for strided convolutions"):
        nn.Conv2d(2, 4, 5, 2, padding="same")
    assert nn.Conv3d(2, 4, 3)(torch.rand(1, 2, 8, 9, 10)).shape == (1, 4, 6, 7, 8)

    shifted = nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular")
    torch.testing.assert_close(shifted(x.roll(2, -1)), shifted(x).roll(2, -1))

    conv = nn.Conv2d(2, 4, 3)           # as one matrix product
    product = conv.weight.flatten(1) @ F.unfold(x, 3) + conv.bias[:, None]
    torch.testing.assert_close(product.view(1, 4, 5, 6), conv(x))


def transposed_convolution():
    """Zeros between entries and around, a turned kernel, and a plain convolution."""
    n, k, s, p = 4, 3, 2, 1
    x, weight = torch.rand(1, 1, n, n), torch.rand(1, 1, k, k)
    filled = torch.zeros(1, 1, n + (n - 1) * (s - 1), n + (n - 1) * (s - 1))
    filled[:, :, ::s, ::s] = x
    filled = F.pad(filled, [k - p - 1] * 4)
    assert filled.shape[-1] == n + (n - 1) * (s - 1) + 2 * (k - 1 - p)
    by_hand = F.conv2d(filled, weight.flip(2, 3))
    assert by_hand.shape[-1] == (n - 1) * s - 2 * p + k
    torch.testing.assert_close(by_hand, F.conv_transpose2d(x, weight, stride=s, padding=p))


def receptive_field(layers):
    """Side of the region behind one entry, from (kernel, stride) of each layer."""
    r = 1
    for f, s in reversed(layers):
        r = (r - 1) * s + f
    return r


def receptive_fields():
    assert receptive_field([(3, 1)] * 2) == 5 and receptive_field([(3, 1)] * 3) == 7
    x = torch.zeros(1, 1, 15, 15, requires_grad=True)
    net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3, stride=2), nn.Conv2d(1, 1, 3))
    net(x)[0, 0, 0, 0].backward()
    side = receptive_field([(3, 1), (3, 2), (3, 1)])
    assert x.grad[0, 0].nonzero().max().item() + 1 == side == 9


# -- losses and training ---------------------------------------------------------------------------

def cross_entropy():
    x, y = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([0])
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)(x, y)
    assert abs(loss - 2.3076) < 1e-4
    pixels = nn.CrossEntropyLoss(reduction="none")(torch.rand(2, 3, 4, 4), torch.ones(2, 4, 4).long())
    assert pixels.shape == (2, 4, 4)
    x, y, weight = torch.randn(4, 3), torch.tensor([0, 2, -100, 1]), torch.tensor([1.0, 2.0, 3.0])
    each = F.cross_entropy(x, y, weight, reduction="none")
    assert each[2] == 0
    torch.testing.assert_close(F.cross_entropy(x, y, weight), each.sum() / (1 + 3 + 2))
    by_hand = -weight[0] * (x[0, 0].exp() / x[0].exp().sum()).log()
    torch.testing.assert_close(each[0], by_hand)
    chances = F.one_hot(torch.tensor([0, 2, 1, 1]), 3).float()
    torch.testing.assert_close(F.cross_entropy(x, chances), F.cross_entropy(x, chances.argmax(1)))


def accumulation(traindata, labels, optimizer, criterion, net):
    """Samples one at a time, of any size; gradients add up to one step."""
    optimizer.zero_grad()
    for i in range(len(traindata)):
        loss = criterion(net(traindata[i]), labels[i])
        loss.backward()
    optimizer.step()


def training():
    net = nn.Linear(3, 1)
    x, y = torch.rand(5, 3), torch.rand(5, 1)
    accumulation(x, y, torch.optim.SGD(net.parameters(), lr=0.0), nn.MSELoss(reduction="sum"), net)
    summed, net.weight.grad = net.weight.grad, None
    nn.MSELoss(reduction="sum")(net(x), y).backward()
    torch.testing.assert_close(summed, net.weight.grad)

    d_real, d_fake = torch.rand(6), torch.rand(6)
    bce = nn.BCELoss(reduction="sum")
    torch.testing.assert_close(bce(d_real, torch.ones(6)), -d_real.log().sum())
    torch.testing.assert_close(bce(d_fake, torch.zeros(6)), -(1 - d_fake).log().sum())

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert net(x).dtype == torch.bfloat16


# -- data ------------------------------------------------------------------------------------------

class Images(Dataset):
    def __init__(self, n):
        self.images, self.labels = torch.rand(n, 3, 64, 64), list(range(n))

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.images[i], self.labels[i]


class Count(IterableDataset):
    def __iter__(self):
        return iter(range(5))


def loaders():
    loader = DataLoader(Images(10), batch_size=4)
    assert len(loader) == 3 and len(DataLoader(Images(10), batch_size=4, drop_last=True)) == 2
    for batch, (x, y) in enumerate(loader):
        size = 4 if batch < 2 else 2
        assert x.shape == (size, 3, 64, 64) and y.shape == (size,) and y.dtype == torch.int64
    with raises(TypeError, "'DataLoader' object is not subscriptable"):
        loader[0]
    assert [b.tolist() for b in DataLoader(Count(), batch_size=2)] == [[0, 1], [2, 3], [4]]
    with raises(ValueError, "expected unspecified shuffle option, but got shuffle=True"):
        DataLoader(Count(), shuffle=True)
    shards = [list(DistributedSampler(range(10), 4, rank, shuffle=False)) for rank in range(4)]
    assert shards == [[0, 4, 8], [1, 5, 9], [2, 6, 0], [3, 7, 1]]


def ddp_setup(rank, world_size, port):
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = "localhost", str(port)
    init_process_group(backend="gloo", rank=rank, world_size=world_size)


def worker(rank, world_size, port, folder):
    """The first argument is the rank, which spawn adds. Gradients are the mean over processes."""
    ddp_setup(rank, world_size, port)
    torch.manual_seed(0)
    model = DDP(nn.Linear(2, 1))
    model(torch.full((1, 2), float(rank))).sum().backward()
    assert model.module.weight.grad.tolist() == [[0.5, 0.5]]
    if rank == 0:
        torch.save(model.module.state_dict(), os.path.join(folder, "ckp.pt"))
    destroy_process_group()


def processes(folder):
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    mp.spawn(worker, args=(2, port, folder), nprocs=2)
    assert list(torch.load(os.path.join(folder, "ckp.pt"))) == ["weight", "bias"]
    assert list(range(torch.cuda.device_count())) == [] or torch.cuda.is_available()


# -- neighbours and search -------------------------------------------------------------------------

def neighbours():
    """Brute force: majority vote and average of the nearest, and all within a radius."""
    points = torch.tensor([[0.0, 0], [0, 1], [5, 5], [5, 6]])
    labels, values = torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 3.0, 10.0, 20.0])
    distance = torch.cdist(torch.tensor([[0.0, 0.4], [5.0, 5.4]]), points)
    nearest = distance.topk(2, largest=False).indices
    assert labels[nearest].mode(dim=1).values.tolist() == [0, 1]
    assert values[nearest].mean(1).tolist() == [2.0, 15.0]
    assert (distance < 1).sum(1).tolist() == [2, 2]


def energy(state):
    return (state - 17) ** 2 / 50 + 3 * math.cos(state)


def hill_climbing(state):
    """To better neighbours until there is none."""
    while energy(best := min((state - 1, state + 1), key=energy)) < energy(state):
        state = best
    return state


def annealing(state, steps=2000, temperature=10.0):
    """Worse neighbours are taken with probability exp(-difference / temperature)."""
    best, draw = state, random.Random(0)
    for _ in range(steps):
        neighbour = state + draw.choice((-3, -2, -1, 1, 2, 3))
        worse = energy(neighbour) - energy(state)
        if worse <= 0 or draw.random() < math.exp(-worse / temperature):
            state = neighbour
        best = min(best, state, key=energy)
        temperature *= 0.998
    return best


def search():
    optimum = min(range(-100, 100), key=energy)
    assert annealing(60) == optimum
    assert energy(hill_climbing(60)) > energy(optimum)
    print(f"hill climbing stops at {hill_climbing(60)}, annealing finds {optimum}")


def main():
    torch.manual_seed(0)
    python_tricks()
    copies()
    command_line()
    for check in (broadcasting, layer_norm, contiguity, numbers_and_nan, joining, multinomial, one_hot,
                  sparse, detaching, padding, masked_attention, containers_and_checkpoints,
                  convolutions, transposed_convolution, receptive_fields, cross_entropy, training,
                  loaders, neighbours, search):
        check()
    with tempfile.TemporaryDirectory() as folder:
        json_lines(folder)
        tensorboard(folder)
        processes(folder)


if __name__ == "__main__":
    main()
