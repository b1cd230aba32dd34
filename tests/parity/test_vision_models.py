"""Models have torchvision's parameters, first weights and outputs; operations on boxes its values."""
from importlib import import_module

import numpy as np
import pytest

import rushlight
import rushlight.vision.models
import rushlight.vision.ops

try:
    from .test_vision import THEIRS, torch
except ImportError:             # it was skipped when it was collected
    pytest.skip("needs torchvision", allow_module_level=True)

OURS = rushlight.vision


def bottlenecks(vision):
    return vision.models.ResNet(vision.models.resnet.Bottleneck, [1, 2, 1, 1], 5, groups=2, width_per_group=32,
                                zero_init_residual=True, replace_stride_with_dilation=[False, True, False])


def small_convnext(vision):
    config = vision.models.convnext.CNBlockConfig
    return vision.models.ConvNeXt([config(8, 16, 2), config(16, None, 2)], num_classes=5)


def small_fcn(vision):
    module = vision.models.segmentation.fcn
    body = vision.models._utils.IntermediateLayerGetter(vision.models.resnet18(), {"layer3": "aux", "layer4": "out"})
    return module.FCN(body, module.FCNHead(512, 4), module.FCNHead(256, 4))


def small_swin(vision, second=False):
    module = vision.models.swin_transformer
    kinds = {"block": module.SwinTransformerBlockV2, "downsample_layer": module.PatchMergingV2} if second else {}
    return module.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [3, 3], num_classes=5, **kinds)


MODELS = {
    "resnet18": lambda v: v.models.resnet18(num_classes=5),
    "bottlenecks": bottlenecks,
    "squeezenet1_0": lambda v: v.models.squeezenet1_0(num_classes=5),
    "squeezenet1_1": lambda v: v.models.squeezenet1_1(num_classes=5),
    "mobilenet": lambda v: v.models.mobilenet_v2(num_classes=5, width_mult=0.5),
    "densenet": lambda v: v.models.DenseNet(8, (2, 3), 16, num_classes=5),
    "convnext": small_convnext,
    "transformer": lambda v: v.models.VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=5,
                                                        representation_size=16),
    "googlenet": lambda v: v.models.googlenet(num_classes=5, init_weights=False, transform_input=True),
    "fcn": small_fcn,
    "mobilenet_v3": lambda v: v.models.mobilenet_v3_small(num_classes=5, reduced_tail=True),
    "efficientnet": lambda v: v.models.efficientnet_b0(num_classes=5),
    "shufflenet": lambda v: v.models.shufflenet_v2_x0_5(num_classes=5),
    "mnasnet": lambda v: v.models.mnasnet0_5(num_classes=5),
    "regnet": lambda v: v.models.regnet_y_400mf(num_classes=5),
    "swin": small_swin,
    "swin_v2": lambda v: small_swin(v, True),
    "deeplab": lambda v: v.models.segmentation.deeplabv3_mobilenet_v3_large(weights_backbone=None, aux_loss=True),
    "lraspp": lambda v: v.models.segmentation.lraspp_mobilenet_v3_large(weights_backbone=None),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore")
def test_model(name):
    rushlight.manual_seed(1)
    torch.manual_seed(1)
    ours, theirs = MODELS[name](OURS), MODELS[name](THEIRS)
    assert repr(ours) == repr(theirs)
    weights = theirs.state_dict()
    assert list(ours.state_dict()) == list(weights)
    for key, value in ours.state_dict().items():
        np.testing.assert_allclose(value.numpy(), weights[key].numpy(), rtol=1e-6, atol=1e-8)
    images = np.random.RandomState(0).randn(2, 3, 64, 64).astype(np.float32)
    a, b = ours.eval()(rushlight.from_numpy(images)), theirs.eval()(torch.from_numpy(images))
    for x, y in zip(a.values(), b.values()) if isinstance(b, dict) else [(a, b)]:
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=2e-4, atol=2e-5)


def test_auxiliary_outputs_and_gradients_of_googlenet():
    model = OURS.models.googlenet(num_classes=5, init_weights=False)
    outputs = model(rushlight.rand(2, 3, 64, 64))
    assert outputs._fields == ("logits", "aux_logits2", "aux_logits1")
    sum(x.sum() for x in outputs).backward()
    assert model.aux1.fc2.weight.grad is not None and model.conv1.conv.weight.grad is not None


def boxes(count, seed, limit=20.0):
    corners = np.random.RandomState(seed).rand(count, 2, 2) * limit
    return np.concatenate([corners.min(1), corners.max(1) + 0.5], 1).astype(np.float32)


PAIRS = ("box_iou", "generalized_box_iou", "distance_box_iou", "complete_box_iou",
         "generalized_box_iou_loss", "distance_box_iou_loss", "complete_box_iou_loss")


@pytest.mark.parametrize("name", PAIRS)
def test_overlaps_and_their_gradients(name):
    a, b = boxes(6, 0), boxes(6, 1)
    results = []
    for module, vision in ((rushlight, OURS), (torch, THEIRS)):
        x, y = (module.from_numpy(v.copy()).requires_grad_() for v in (a, b))
        value = getattr(vision.ops, name)(x, y)
        value.sum().backward()
        results.append([value.detach().numpy(), x.grad.numpy(), y.grad.numpy()])
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("before", ["xyxy", "xywh", "cxcywh"])
@pytest.mark.parametrize("after", ["xyxy", "xywh", "cxcywh"])
def test_formats(before, after):
    a = boxes(5, 2)
    ours = OURS.ops.box_convert(rushlight.from_numpy(a), before, after)
    theirs = THEIRS.ops.box_convert(torch.from_numpy(a), before, after)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)


def test_focal_loss_clipping_and_masks():
    logits, targets = np.random.RandomState(0).randn(2, 7).astype(np.float32), np.eye(2, 7, dtype=np.float32)
    masks = np.zeros((2, 9, 9), bool)
    masks[0, 2:5, 3:4], masks[1, 8, 8] = True, True
    for calculate in (
            lambda m, v: v.ops.sigmoid_focal_loss(m.from_numpy(logits), m.from_numpy(targets), reduction="mean"),
            lambda m, v: v.ops.clip_boxes_to_image(m.from_numpy(boxes(6, 0)), (7, 9)),
            lambda m, v: v.ops.remove_small_boxes(m.from_numpy(boxes(6, 0)), 5.0),
            lambda m, v: v.ops.masks_to_boxes(m.from_numpy(masks)),
            lambda m, v: v.ops.box_area(m.from_numpy(boxes(6, 0)))):
        np.testing.assert_allclose(calculate(rushlight, OURS).numpy(), calculate(torch, THEIRS).numpy(), rtol=1e-5)


@pytest.mark.parametrize("ratio, aligned", [(2, True), (2, False), (-1, True), (-1, False)])
def test_regions(ratio, aligned):
    pixels = np.random.RandomState(0).randn(2, 3, 10, 12).astype(np.float32)
    rois = np.concatenate([np.array([[0], [1], [1]], np.float32), boxes(3, 4)], 1)
    theirs = THEIRS.ops.roi_align.__globals__["_roi_align"](
        torch.from_numpy(pixels), torch.from_numpy(rois), 0.5, 3, 4, ratio, aligned)
    ours = OURS.ops.roi_align(rushlight.from_numpy(pixels), rushlight.from_numpy(rois), (3, 4), 0.5, ratio, aligned)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["vgg11_bn", "mobilenet_v2", "googlenet", "resnet18"])
def test_inner_values_have_the_same_names(name):
    rooms = [import_module(f"{v.__name__}.models.feature_extraction") for v in (OURS, THEIRS)]
    options = dict(init_weights=False) if name == "googlenet" else {}
    for ours, theirs in zip(*(room.get_graph_node_names(getattr(v.models, name)(**options), suppress_diff_warning=True)
                              for room, v in zip(rooms, (OURS, THEIRS)))):
        assert (sorted(ours) == sorted(theirs)) if name == "resnet18" else (ours == theirs)      # shortcuts come first there
