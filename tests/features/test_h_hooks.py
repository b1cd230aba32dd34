"""Rows H of the notes' features: hooks of modules and tensors."""
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn.modules.module import register_module_forward_hook
from rushlight.utils.hooks import RemovableHandle


def test_h01_forward_hook_gets_module_inputs_and_output():
    layer, x, seen = nn.Linear(3, 2), torch.ones(4, 3), []
    layer.register_forward_hook(lambda *args: seen.append(args))
    y = layer(x)
    module, inputs, output = seen[0]
    assert module is layer and type(inputs) is tuple and inputs[0] is x and output is y


def test_h02_value_of_a_forward_hook_replaces_the_output():
    layer = nn.Linear(3, 2)
    layer.register_forward_hook(lambda module, inputs, output: output * 0 + 7)
    assert layer(torch.ones(1, 3)).tolist() == [[7, 7]]


def test_h03_backward_hook_gets_gradients_of_inputs_and_outputs():
    layer, x, seen = nn.Linear(3, 2), torch.ones(4, 3, requires_grad=True), []
    layer.register_full_backward_hook(lambda *args: seen.append(args))
    layer(x).sum().backward()
    module, grad_input, grad_output = seen[0]
    assert module is layer and type(grad_input) is tuple and type(grad_output) is tuple
    assert torch.equal(grad_output[0], torch.ones(4, 2)) and torch.equal(grad_input[0], x.grad)


def test_h04_hooks_collect_values_in_between():
    model, kept = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)), []
    for layer in model:
        layer.register_forward_hook(lambda module, inputs, output: kept.append(output.shape))
    model(torch.ones(2, 3))
    assert kept == [(2, 4), (2, 4), (2, 1)]


def test_h05_global_forward_hook_is_a_function_not_a_method():
    seen = []
    handle = register_module_forward_hook(lambda m, inputs, output: seen.append(type(m).__name__))
    nn.Sequential(nn.Linear(3, 4), nn.ReLU())(torch.ones(2, 3))
    handle.remove()
    assert seen == ["Linear", "ReLU", "Sequential"]
    with pytest.raises(AttributeError):
        nn.Linear(1, 1).register_module_forward_hook(print)


def test_h06_tensor_hook_may_return_a_new_gradient():
    x = torch.ones(2, requires_grad=True)
    y = 2 * x
    y.register_hook(lambda grad: grad * 10)
    y.sum().backward()
    assert x.grad.tolist() == [20, 20]


def test_h07_tensor_hook_needs_a_gradient():
    with pytest.raises(RuntimeError, match="cannot register a hook on a tensor that doesn't require "
                                           "gradient"):
        torch.ones(2).register_hook(print)


def test_h08_each_registration_returns_a_handle():
    layer, x, seen = nn.Linear(3, 2), torch.ones(2, requires_grad=True), []
    handles = [x.register_hook(seen.append),
               layer.register_forward_hook(lambda *args: seen.append(args)),
               layer.register_full_backward_hook(lambda *args: seen.append(args))]
    assert all(isinstance(handle, RemovableHandle) for handle in handles)
    for handle in handles:
        handle.remove()
    x.sum().backward()
    layer(torch.ones(1, 3)).sum().backward()
    assert not seen


def test_h09_product_of_input_and_grad_output_is_the_gradient_of_each_sample():
    layer, x, kept = nn.Linear(3, 2), torch.randn(5, 3), {}
    layer.register_forward_hook(lambda m, inputs, output: kept.update(x=inputs[0].detach()))
    layer.register_full_backward_hook(lambda m, ins, outs: kept.update(g=outs[0]))
    layer(x).square().sum().backward()
    by_sample = torch.einsum("no,ni->noi", kept["g"], kept["x"])
    for i in range(5):
        (alone,) = torch.autograd.grad(layer(x[i:i + 1]).square().sum(), layer.weight)
        assert torch.allclose(by_sample[i], alone, atol=1e-5)
