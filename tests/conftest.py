"""What a test finds must not hang on what ran before: an earlier program, or other files in the same process."""
import os
import random

import numpy as np
import pytest

os.environ.setdefault("RUSHLIGHT_RECIPES", "off")   # tests count what the compiler does
LONG = ("test_examples.py", "test_docs.py", "test_cli.py", "test_workers.py", "test_compiled.py", "test_table.py")


def pytest_collection_modifyitems(items):
    """Files that take long come first, so that no process ends with one while the others have nothing to do."""
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(autouse=True)
def same_numbers_in_any_order():
    """`make test` spreads the files over processes, so what ran in this one is another matter each time."""
    import rushlight
    rushlight.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
