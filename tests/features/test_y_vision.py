"""Rows Y of the notes' features: networks for pictures and other tasks."""

import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import nn
from rushlight.vision import models, ops

VGG16 = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]


def vgg_features(plan):
    layers, channels = [], 3
    for entry in plan:
        if entry == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, entry, 3, padding=1), nn.ReLU(inplace=True)]
            channels = entry
    return nn.Sequential(*layers)


def size(model):
    return sum(p.numel() for p in model.parameters())


def test_y01_vgg16_from_a_list():
    classifier = nn.Sequential(nn.Linear(25088, 4096), nn.ReLU(True), nn.Dropout(), nn.Linear(4096, 4096),
                               nn.ReLU(True), nn.Dropout(), nn.Linear(4096, 1000))
    features = vgg_features(VGG16)
    assert size(features) + size(classifier) == size(models.vgg16()) == 138_357_544
    with torch.no_grad():
        x = features(torch.rand(1, 3, 224, 224))
        assert x.shape == (1, 512, 7, 7)
        x = nn.AdaptiveAvgPool2d((7, 7))(x).flatten(1)
    assert x.shape == (1, 25088) and classifier[6].out_features == 1000


def test_y02_sizes_after_each_pooling_of_vgg16():
    x, sizes = torch.empty(1, 3, 224, 224, device="cpu"), []
    with torch.no_grad():
        for layer in vgg_features(["M" if n == "M" else n // 32 for n in VGG16]):
            x = layer(x)
            sizes += [(32 * x.shape[1], x.shape[2])] if isinstance(layer, nn.MaxPool2d) else []
    assert sizes == [(64, 112), (128, 56), (256, 28), (512, 14), (512, 7)]
    assert [n for n in VGG16 if n != "M"].count(128) == 2
    assert F.softmax(torch.randn(1, 1000), dim=1).sum().item() == pytest.approx(1)


def test_y03_stacked_3x3_in_place_of_large_kernels():
    x = torch.rand(1, 1, 9, 9, requires_grad=True)
    y = F.conv2d(F.conv2d(x, torch.ones(1, 1, 3, 3)), torch.ones(1, 1, 3, 3))
    y[0, 0, 2, 2].backward()
    assert x.grad[0, 0].count_nonzero() == 25           # two of 3x3 see what one of 5x5 sees
    assert 2 * 3 * 3 < 5 * 5


def test_y04_alexnet():
    model = models.alexnet().eval()
    assert size(model) == 61_100_840 and model(torch.rand(1, 3, 224, 224)).shape == (1, 1000)
    kinds = {type(m) for m in model.modules()}
    assert {nn.ReLU, nn.Dropout} <= kinds


@pytest.fixture(scope="module")
def googlenet():
    return models.googlenet(init_weights=False, aux_logits=True)


def test_y05_inception_blocks_join_parallel_branches(googlenet):
    block, x = googlenet.inception3a.eval(), torch.rand(1, 192, 28, 28)
    branches = [branch(x) for branch in (block.branch1, block.branch2, block.branch3, block.branch4)]
    assert [b.shape[1] for b in branches] == [64, 128, 32, 32]
    assert torch.equal(block(x), torch.cat(branches, 1))


def test_y06_1x1_convolutions_save_work(googlenet):
    reduce, conv = (layer.conv for layer in googlenet.inception3a.branch2)
    assert reduce.kernel_size == (1, 1) and (reduce.in_channels, reduce.out_channels) == (192, 96)
    assert size(reduce) + size(conv) < size(nn.Conv2d(192, 128, 3, bias=False))


def test_y07_auxiliary_classifiers_give_three_outputs(googlenet):
    out = googlenet.train()(torch.rand(2, 3, 64, 64))
    assert type(out).__name__ == "GoogLeNetOutputs" and [o.shape for o in out] == [(2, 1000)] * 3


def test_y08_average_pooling_before_the_one_linear_layer(googlenet):
    main = [m for name, m in googlenet.named_modules() if not name.startswith("aux")]
    assert [m.out_features for m in main if isinstance(m, nn.Linear)] == [1000]
    assert isinstance(googlenet.avgpool, nn.AdaptiveAvgPool2d)


def test_y09_convnext():
    model = models.convnext_tiny()
    assert size(model) == 28_589_128
    block = model.features[1][0]
    assert block(torch.rand(1, 96, 8, 8)).shape == (1, 96, 8, 8)
    assert block.block[0].groups == 96 and block.block[0].kernel_size == (7, 7)     # by depth


def test_y10_vision_transformer():
    model = models.VisionTransformer(image_size=32, patch_size=16, num_layers=1, num_heads=2, hidden_dim=8,
                                     mlp_dim=16, num_classes=5)
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 5)
    assert model.encoder.pos_embedding.shape == (1, 4 + 1, 8)       # patches and the class token


class UNet(nn.Module):
    """One step down, one up, joined at full size."""

    def __init__(self):
        super().__init__()
        self.first, self.bottom = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.up, self.last = nn.ConvTranspose2d(8, 4, 2, stride=2), nn.Conv2d(8, 2, 1)

    def forward(self, x):
        skip = self.first(x).relu()
        up = self.up(self.bottom(F.max_pool2d(skip, 2)).relu())
        return self.last(torch.cat([skip, up], 1))


def test_y11_unet_tells_foreground_from_background():
    torch.manual_seed(0)
    x = torch.zeros(4, 1, 16, 16)
    x[:, :, 4:12, 4:12] = 1
    target, model = x[:, 0].long(), UNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(20):
        optimizer.zero_grad()
        F.cross_entropy(model(x), target).backward()
        optimizer.step()
    assert (model(x).argmax(1) == target).float().mean().item() > 0.98


def test_y12_fully_convolutional_network_takes_any_size():
    model = models.segmentation.fcn_resnet50(num_classes=3, weights_backbone=None).eval()
    with torch.no_grad():
        for h, w in ((64, 64), (40, 72)):
            assert model(torch.rand(1, 3, h, w))["out"].shape == (1, 3, h, w)
    linear, x = nn.Linear(512 * 7 * 7, 10), torch.rand(1, 512, 7, 7)
    conv = linear.weight.view(10, 512, 7, 7)                # a linear layer as a convolution
    assert torch.allclose(F.conv2d(x, conv, linear.bias).flatten(1), linear(x.flatten(1)), atol=1e-5)


def test_y13_semantic_segmentation_gives_each_pixel_a_class():
    scores = torch.randn(2, 5, 8, 8, requires_grad=True)
    F.cross_entropy(scores, torch.randint(5, (2, 8, 8))).backward()
    assert scores.argmax(1).shape == (2, 8, 8) and scores.grad.shape == scores.shape


class Regions(nn.Module):
    """A Mask R-CNN in small: features, regions, and for each region a class and a mask."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(1, 8, 3, padding=1)
        self.box = nn.Sequential(nn.Flatten(), nn.Linear(8 * 7 * 7, 3))
        self.mask = nn.Sequential(nn.ConvTranspose2d(8, 8, 2, stride=2), nn.ReLU(), nn.Conv2d(8, 3, 1))

    def forward(self, image, boxes):
        pooled = ops.roi_align(self.backbone(image).relu(), boxes, 7, aligned=True)
        return self.box(pooled), self.mask(pooled)


def test_y14_instance_segmentation_gives_a_mask_for_each_object():
    boxes = [torch.tensor([[0., 0, 8, 8], [4, 4, 15, 15], [1, 0, 8, 8]])]
    scores, masks = Regions()(torch.rand(1, 1, 16, 16), boxes)
    keep = ops.nms(boxes[0], scores.max(1).values, 0.5)
    assert len(keep) == 2 and masks[keep].sigmoid().shape == (2, 3, 14, 14)
    assert ops.masks_to_boxes(torch.ones(1, 4, 5)).tolist() == [[0, 0, 4, 3]]


def test_y15_regions_are_pooled_to_one_size():
    features = torch.arange(36.).view(1, 1, 6, 6)
    pooled = ops.roi_pool(features, [torch.tensor([[0., 0, 3, 3], [0, 0, 5, 5]])], output_size=2)
    assert pooled.shape == (2, 1, 2, 2) and pooled[0].tolist() == [[[7, 9], [19, 21]]]


def test_y16_mask_branch_learns_beside_the_box_branch():
    torch.manual_seed(0)
    model, image = Regions(), torch.zeros(1, 1, 16, 16)
    image[:, :, 2:10, 2:10] = 1
    boxes = [torch.tensor([[0., 0, 12, 12], [8, 8, 16, 16]])]
    labels, target = torch.tensor([1, 0]), ops.roi_align(image, boxes, 14, aligned=True)[0, 0]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(30):
        scores, masks = model(image, boxes)
        loss = F.cross_entropy(scores, labels) + F.binary_cross_entropy_with_logits(masks[0, 1], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3


def test_y17_panoptic_segmentation():
    classes = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])    # from semantic segmentation
    instances = torch.tensor([[[True, False, False, False]] * 2, [[False, True, False, False]] * 2])
    objects = (instances * torch.tensor([1, 2]).view(2, 1, 1)).sum(0)
    panoptic = torch.stack([classes, objects])
    assert len(panoptic.flatten(1).T.unique(dim=0)) == 3    # two things of class 0, the stuff 1


def test_y18_downsampling_by_32():
    backbone = nn.Sequential(*list(models.resnet18().children())[:-2]).eval()
    with torch.no_grad():
        assert backbone(torch.rand(1, 3, 64, 96)).shape == (1, 512, 2, 3)


def test_y19_planner_in_float64():
    features = nn.Conv2d(1, 4, 3, dtype=torch.float64)(torch.rand(2, 1, 5, 5, dtype=torch.float64))
    head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 3 * 3, 16), nn.ReLU(), nn.Linear(16, 5), nn.ReLU()).double()
    out = head(features)
    assert out.shape == (2, 5) and out.dtype == torch.float64 and (out >= 0).all()


def test_y20_transformer():
    model = nn.Transformer(d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=16,
                           batch_first=True).eval()
    source, target = torch.rand(2, 5, 8), torch.rand(2, 3, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    full = model(source, target, tgt_mask=mask)
    assert full.shape == (2, 3, 8)                          # no position sees a later one:
    assert torch.allclose(model(source, target[:, :2], tgt_mask=mask[:2, :2]), full[:, :2], atol=1e-5)


def test_y21_alphafold_pieces():
    m = torch.randn(3, 4, 8)                                # sequences, residues, channels
    outer = torch.einsum("sic,sjd->ijcd", m, m) / 3         # mean over sequences of outer products
    assert outer.shape == (4, 4, 8, 8)
    assert torch.allclose(outer[1, 2], sum(torch.outer(s[1], s[2]) for s in m) / 3, atol=1e-5)


def test_y22_chains_and_splits_are_input():
    chains = [{"name": "a", "seq": "MKV"}, {"name": "b", "seq": "GA"}, {"name": "c", "seq": "M"}]
    splits = {"train": ["a", "b"], "test": ["c"], "validation": []}
    train = [chain for chain in chains if chain["name"] in splits["train"]]
    tokens = [torch.tensor([ord(letter) for letter in chain["seq"]]) for chain in train]
    padded = nn.utils.rnn.pad_sequence(tokens, batch_first=True)
    assert padded.shape == (2, 3) and padded[1, 2] == 0


class Net1(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def test_y23_two_containers_are_two_equal_networks():
    layers = [nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)]
    net1, net2, x = Net1(layers), nn.Sequential(*layers), torch.rand(5, 3)
    assert torch.equal(net1(x), net2(x)) and "ModuleList" in repr(net1)
