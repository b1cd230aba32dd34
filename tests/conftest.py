"""What a test finds must not hang on what ran before: an earlier program, or other files in the same process."""
import os
import random

import numpy as np
import pytest

os.environ.setdefault("RUSHLIGHT_RECIPES", "off")   # tests count what the compiler does


@pytest.fixture(autouse=True)
def same_numbers_in_any_order():
    """`make test` spreads the files over processes, so what ran in this one is another matter each time."""
    import rushlight
    rushlight.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
