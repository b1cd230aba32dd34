"""`import opacus` under rushlight's name of torch."""
import subprocess
import sys

PROGRAM = """
import importlib.machinery
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name.partition(".")[0] == "opacus" else find(name, *rest))
from rushlight import impersonate
impersonate.install()
import torch, opacus
from opacus import GradSampleModule, PrivacyEngine
from opacus.accountants.analysis.rdp import compute_rdp
from opacus.accountants.utils import get_noise_multiplier
from opacus.data_loader import DPDataLoader
from opacus.layers import DPLSTM
from opacus.optimizers import DPOptimizer
from opacus.optimizers.optimizer import DPOptimizer as Same
from opacus.utils.batch_memory_manager import BatchMemoryManager
from opacus.utils.uniform_sampler import UniformWithReplacementSampler
from opacus.validators import ModuleValidator
from opacus.validators.errors import UnsupportedModuleError
import rushlight.privacy
assert opacus is rushlight.privacy and DPOptimizer is Same
try:
    import opacus.nothing
except ModuleNotFoundError as error:
    print(error)
"""


def test_opacus_is_privacy_where_it_is_not_installed():
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert found.stdout == "rushlight has no opacus.nothing yet\n", found.stderr
