"""Models and operations on boxes, without torchvision to compare with."""
import re
from urllib.error import URLError

import pytest

import rushlight
from rushlight.vision import models, ops

# Parameters of the models as published (torchvision's documentation, 2024).
PUBLISHED = {"resnet18": 11689512, "resnet50": 25557032, "squeezenet1_1": 1235496, "mobilenet_v2": 3504872,
             "densenet121": 7978856, "alexnet": 61100840, "mobilenet_v3_small": 2542856,
             "efficientnet_b0": 5288548, "shufflenet_v2_x1_0": 2278604, "mnasnet0_5": 2218512, "regnet_y_400mf": 4344144,
             "swin_t": 28288354, "swin_v2_t": 28351570, "inception_v3": 27161264}


@pytest.mark.filterwarnings("ignore:The default weight initialization")
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


def test_unknown_models():
    with pytest.raises(ValueError, match="Unknown model resnet1"):
        models.get_model("resnet1")
    assert {"resnet18", "vgg16", "fcn_resnet50", "vit_b_16", "swin_t", "regnet_y_400mf"} <= set(models.list_models())


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """The folder in which downloaded weights lie."""
    monkeypatch.setattr(rushlight.hub, "_folder", [str(tmp_path)])
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_published_weights(fetched):
    trained = models.squeezenet1_1()
    rushlight.save(trained.state_dict(), fetched / "squeezenet1_1-b8a52dc0.pth")
    kind = models.SqueezeNet1_1_Weights
    for weights in ("DEFAULT", "IMAGENET1K_V1", kind.DEFAULT, kind.IMAGENET1K_V1):
        model = models.squeezenet1_1(weights=weights)
        assert all(map(rushlight.equal, model.parameters(), trained.parameters()))
    with pytest.warns(UserWarning, match="'pretrained' is deprecated since 0.13"):
        model = models.get_model("squeezenet1_1", pretrained=True)
    assert rushlight.equal(model.features[0].weight, trained.features[0].weight)
    with pytest.raises(ValueError, match="'num_classes' expected value 1000 but got 7 instead"):
        models.squeezenet1_1(weights="DEFAULT", num_classes=7)
    with pytest.raises(TypeError, match="expected SqueezeNet1_1_Weights but received ResNet18_Weights"):
        models.squeezenet1_1(weights=models.ResNet18_Weights.DEFAULT)
    with pytest.raises(KeyError):
        models.squeezenet1_1(weights="IMAGENET1K_V7")


def test_facts_about_weights():
    best = models.get_weight("ResNet50_Weights.DEFAULT")
    assert repr(best) == "ResNet50_Weights.IMAGENET1K_V2" and best.url.endswith("/resnet50-11ad3fa6.pth")
    assert models.get_model_weights("resnet50") is models.ResNet50_Weights is models.get_model_weights(models.resnet50)
    assert len(best.meta["categories"]) == 1000 and best.meta["categories"][208] == "Labrador retriever"
    assert best.transforms()(rushlight.zeros(3, 300, 400, dtype=rushlight.uint8)).shape == (3, 224, 224)
    assert "resize_size=[232]" in repr(best.transforms())
    with pytest.raises(ValueError, match="'ResNet5_Weights' for the specific method couldn't be retrieved"):
        models.get_weight("ResNet5_Weights.DEFAULT")


def test_weights_with_names_of_an_older_time(fetched):
    trained = models.densenet121()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): t
           for name, t in trained.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    rushlight.save(old, fetched / "densenet121-a639ec97.pth")
    model = models.densenet121(weights="DEFAULT")
    assert all(map(rushlight.equal, model.parameters(), trained.parameters()))


def test_weights_with_auxiliary_heads(fetched):
    trained = models.googlenet(init_weights=False)
    rushlight.save(trained.state_dict(), fetched / "googlenet-1378be20.pth")
    model = models.googlenet(weights="DEFAULT")
    assert model.transform_input and model.aux1 is None
    assert model.train()(rushlight.zeros(2, 3, 64, 64)).shape == (2, 1000)


def test_usual_weights_that_cannot_be_fetched(monkeypatch):
    def nobody(*_, **__):
        raise URLError("no network")
    monkeypatch.setattr(rushlight.hub, "load_state_dict_from_url", nobody)
    with pytest.warns(UserWarning, match="cannot be fetched \\(no network\\), so the backbone starts from random"):
        models.segmentation.fcn_resnet50()
    with pytest.raises(URLError):
        models.segmentation.fcn_resnet50(weights_backbone="IMAGENET1K_V1")


@pytest.mark.parametrize("name", ["deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"])
def test_scores_for_each_pixel(name):
    model = getattr(models.segmentation, name)(weights_backbone=None, num_classes=4)
    assert model.eval()(rushlight.zeros(1, 3, 40, 56))["out"].shape == (1, 4, 40, 56)


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


def test_inner_values_by_name():
    import copy

    from rushlight.vision.models.feature_extraction import create_feature_extractor, get_graph_node_names
    model = models.resnet18(num_classes=3)
    assert get_graph_node_names(model)[0][-4:] == ["layer4.1.relu_1", "avgpool", "flatten", "fc"] and model.training
    inner = create_feature_extractor(model, {"layer1": "low", "layer3.0.relu": "high"})
    assert inner.get_parameter("layer1.0.conv1.weight") is model.layer1[0].conv1.weight and not hasattr(inner, "layer4")
    x = rushlight.rand(2, 3, 32, 32)
    for module in (inner.eval(), copy.deepcopy(inner)):
        low, high = (v for v in module(x).values())
        body = model.eval()
        wanted = body.layer1(body.maxpool(body.relu(body.bn1(body.conv1(x)))))
        assert rushlight.equal(low, wanted) and high.shape == (2, 256, 2, 2)
    with pytest.raises(ValueError, match="'layer9' is not present"):
        create_feature_extractor(model, ["layer9"])
    with pytest.raises(ValueError, match="should be specified"):
        create_feature_extractor(model, train_return_nodes=["layer1"])


def test_inner_values_differ_by_mode():
    from rushlight.vision.models.feature_extraction import create_feature_extractor, get_graph_node_names

    class Two(rushlight.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = rushlight.nn.Linear(2, 2), rushlight.nn.Linear(2, 2)

        def forward(self, x):
            return self.a(x).exp() if self.training else self.b(x)
    with pytest.warns(UserWarning, match="different to those of eval mode"):
        assert get_graph_node_names(Two()) == (["x", "a", "exp"], ["x", "b"])
    inner = create_feature_extractor(Two(), train_return_nodes=["a"], eval_return_nodes=["b"], suppress_diff_warning=True)
    x = rushlight.ones(1, 2)
    assert list(inner(x)) == ["a"] and list(inner.eval()(x)) == ["b"]
