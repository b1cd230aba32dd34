"""Detection: what its parts do, and that a small Mask R-CNN learns."""
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.vision import models, ops
from rushlight.vision.models import detection
from rushlight.vision.models.detection._utils import BalancedPositiveNegativeSampler, BoxCoder, Matcher
from rushlight.vision.models.detection.roi_heads import paste_masks_in_image
from rushlight.vision.models.detection.rpn import AnchorGenerator


def small(kind=detection.FasterRCNN, **options):
    """A network with one level of features."""
    body = nn.Sequential(nn.Conv2d(3, 16, 4, 4), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU())
    body.out_channels = 16
    pools = {"box_roi_pool": ops.MultiScaleRoIAlign(["0"], 3, 2)}
    if kind is detection.MaskRCNN:
        pools["mask_roi_pool"] = ops.MultiScaleRoIAlign(["0"], 6, 2)
        pools["mask_head"] = nn.Conv2d(16, 8, 3, padding=1)
        pools["mask_predictor"] = detection.mask_rcnn.MaskRCNNPredictor(8, 8, 2)
        options |= {"num_classes": None, "box_predictor": detection.faster_rcnn.FastRCNNPredictor(1024, 2)}
    anchors = AnchorGenerator(((16, 32),), ((1.0,),))
    return kind(body, **{"num_classes": 2, "min_size": 64, "max_size": 64, "rpn_anchor_generator": anchors,
                         "box_batch_size_per_image": 16, "rpn_batch_size_per_image": 16, **pools, **options})


def a_square():
    image = torch.zeros(3, 64, 64)
    image[:, 16:48, 24:56] = 1
    mask = torch.zeros(1, 64, 64, dtype=torch.uint8)
    mask[:, 16:48, 24:56] = 1
    return image, {"boxes": torch.tensor([[24., 16, 56, 48]]), "labels": torch.tensor([1]), "masks": mask}


def test_a_square_is_found():
    torch.manual_seed(0)
    model, (image, target) = small(detection.MaskRCNN), a_square()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(40):
        losses = model([image], [target])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg"}
    found, = model.eval()([image])
    assert found["labels"][0] == 1 and found["scores"][0] > 0.8
    assert ops.box_iou(found["boxes"][:1], target["boxes"]).item() > 0.7
    inside = found["masks"][0, 0] > 0.5
    both, either = (inside & target["masks"][0].bool()).sum(), (inside | target["masks"][0].bool()).sum()
    assert both / either > 0.7


def test_images_of_different_sizes_and_images_without_objects():
    torch.manual_seed(0)
    model = small()
    images = [torch.rand(3, 40, 70), torch.rand(3, 64, 30)]
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    losses = model(images, [nothing, {"boxes": torch.tensor([[1., 2, 20, 30]]), "labels": torch.tensor([1])}])
    assert all(loss.isfinite() for loss in losses.values())
    found = model.eval()(images)
    for image, one in zip(images, found):
        assert (one["boxes"] >= 0).all() and (one["boxes"][:, 2] <= image.shape[2] + 1e-3).all()


def test_bad_targets_and_arguments():
    model, image = small(), torch.rand(3, 64, 64)
    with pytest.raises(AssertionError, match="targets should not be none when in training mode"):
        model([image])
    target = {"boxes": torch.tensor([[5., 5, 5, 9]]), "labels": torch.tensor([1])}
    with pytest.raises(AssertionError, match=r"Found invalid box \[5.0, 5.0, 5.0, 9.0\] for target at index 0"):
        model([image], [target])
    with pytest.raises(TypeError, match="target labels must of int64 type"):
        model([image], [{"boxes": torch.tensor([[5., 5, 9, 9]]), "labels": torch.tensor([1.0])}])
    with pytest.raises(TypeError, match="Expected input images to be of floating type"):
        model.eval()([image.mul(255).byte()])
    with pytest.raises(ValueError, match="should contain an attribute out_channels"):
        detection.FasterRCNN(nn.Identity(), 2)
    with pytest.raises(ValueError, match="num_classes should be None when box_predictor is specified"):
        small(box_predictor=nn.Identity())


def test_differences_of_boxes_are_undone():
    boxes, others = torch.tensor([[0., 0, 4, 8], [2, 3, 9, 7]]), torch.tensor([[1., 1, 6, 5], [0, 0, 5, 5]])
    coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
    codes, = coder.encode([boxes], [others])
    assert torch.allclose(coder.decode(codes, [others])[:, 0], boxes, atol=1e-5)


def test_matches_and_samples():
    overlaps = torch.tensor([[0.9, 0.5, 0.1, 0.2], [0.0, 0.4, 0.6, 0.1]])
    assert Matcher(0.7, 0.3)(overlaps).tolist() == [0, -2, -2, -1]
    assert Matcher(0.7, 0.3, True)(overlaps).tolist() == [0, -2, 1, -1]
    torch.manual_seed(0)
    positive, negative = BalancedPositiveNegativeSampler(6, 0.5)([torch.tensor([1.0] * 10 + [0.0] * 10 + [-1.0] * 5)])
    assert positive[0].sum() == negative[0].sum() == 3
    assert positive[0][:10].sum() == 3 and negative[0][10:20].sum() == 3


def test_levels_of_a_pyramid():
    torch.manual_seed(0)
    maps = {str(k): torch.full((1, 2, 64 >> k, 64 >> k), float(k)) for k in range(3)}
    pool = ops.MultiScaleRoIAlign(["0", "1", "2"], 2, 2, canonical_scale=32, canonical_level=1)
    boxes = [torch.tensor([[0., 0, 10, 10], [0, 0, 40, 40], [0, 0, 60, 60]])]
    assert pool(maps, boxes, [(64, 64)]).mean((1, 2, 3)).tolist() == [0, 1, 1]
    fpn = ops.FeaturePyramidNetwork([2, 2, 2], 4, ops.feature_pyramid_network.LastLevelMaxPool())
    assert {name: tuple(x.shape) for name, x in fpn(maps).items()} == {
        "0": (1, 4, 64, 64), "1": (1, 4, 32, 32), "2": (1, 4, 16, 16), "pool": (1, 4, 8, 8)}


def test_masks_at_their_places():
    pasted = paste_masks_in_image(torch.ones(1, 1, 4, 4), torch.tensor([[2., 1, 5, 4]]), (6, 8))
    assert pasted.shape == (1, 1, 6, 8) and pasted[0, 0, 2, 3] == 1 and pasted[0, 0, 5, 7] == 0


@pytest.mark.parametrize("name, parameters", [
    ("fasterrcnn_resnet50_fpn", 41755286), ("maskrcnn_resnet50_fpn", 44401393)])
def test_numbers_of_parameters(name, parameters):
    """As published; normalisation is frozen there, so its numbers are no parameters."""
    model = models.get_model(name, weights_backbone=None)
    normal = sum(m.num_features * 2 for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    assert sum(p.numel() for p in model.parameters()) - normal == parameters
