"""Models and operations on boxes, without torchvision to compare with."""
import pytest

import rushlight
from rushlight.vision import models, ops

# Parameters of the models as published (torchvision's documentation, 2024).
PUBLISHED = {"resnet18": 11689512, "resnet50": 25557032, "squeezenet1_1": 1235496, "mobilenet_v2": 3504872,
             "densenet121": 7978856, "alexnet": 61100840}


@pytest.mark.parametrize("name", PUBLISHED)
def test_numbers_of_parameters(name):
    assert sum(p.numel() for p in models.get_model(name).parameters()) == PUBLISHED[name]


def test_a_step_of_training():
    model = models.resnet18(num_classes=3)
    optimizer = rushlight.optim.SGD(model.parameters(), lr=0.01)
    x, y = rushlight.randn(4, 3, 32, 32), rushlight.tensor([0, 1, 2, 0])
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = rushlight.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[2] < losses[0]


def test_unknown_models_and_weights():
    with pytest.raises(ValueError, match="Unknown model resnet1"):
        models.get_model("resnet1")
    with pytest.raises(NotImplementedError, match="pretrained weights: rushlight downloads none"):
        models.resnet18(weights="DEFAULT")
    assert {"resnet18", "vgg16", "fcn_resnet50", "vit_b_16"} <= set(models.list_models())


def test_nms_keeps_the_best_of_what_overlaps():
    boxes = rushlight.tensor([[0., 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30], [0, 0, 10, 5]])
    scores = rushlight.tensor([0.5, 0.9, 0.1, 0.8])
    assert ops.nms(boxes, scores, 0.5).tolist() == [1, 3, 2]
    assert ops.nms(boxes, scores, 0.9).tolist() == [1, 3, 0, 2]
    assert ops.batched_nms(boxes, scores, rushlight.tensor([0, 1, 0, 0]), 0.5).tolist() == [1, 3, 0, 2]
    assert ops.nms(rushlight.zeros(0, 4), rushlight.zeros(0), 0.5).shape == (0,)
    with pytest.raises(RuntimeError, match="same number of elements"):
        ops.nms(boxes, scores[:2], 0.5)


def test_roi_pool_is_the_maximum_of_each_cell():
    image = rushlight.arange(36.).view(1, 1, 6, 6).requires_grad_()
    pooled = ops.roi_pool(image, [rushlight.tensor([[0., 0, 3, 3]])], 2)
    assert pooled.tolist() == [[[[7, 9], [19, 21]]]]
    pooled.sum().backward()
    assert image.grad.nonzero()[:, 2:].tolist() == [[1, 1], [1, 3], [3, 1], [3, 3]]


def test_stochastic_depth_keeps_the_mean():
    rushlight.manual_seed(0)
    x = rushlight.ones(2000, 3)
    y = ops.stochastic_depth(x, 0.25, "row")
    assert set(y[:, 0].tolist()) == {0.0, 4 / 3} or abs(y.max() - 4 / 3) < 1e-6
    assert abs(y.mean() - 1) < 0.05 and (y[:, 0] == y[:, 1]).all()
    assert ops.stochastic_depth(x, 0.25, "row", training=False) is x
    with pytest.raises(ValueError, match="drop probability"):
        ops.stochastic_depth(x, 2, "row")
