"""What the tests compare with beside PyTorch itself."""
import pytest

torch = pytest.importorskip("torch")


def torchvision_in_python():
    """torchvision, also where its native part does not fit the PyTorch that is there; without it the module is skipped."""
    try:
        import torchvision
    except ModuleNotFoundError:
        pytest.skip("needs torchvision", allow_module_level=True)
    except RuntimeError:
        torch.library.register_fake = lambda *args, **options: lambda function: function
        import torchvision
    return torchvision
