"""Rows and tests belong together: no test for a row that does not exist."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_tests_are_of_rows_that_exist():
    sys.path.insert(0, os.path.join(ROOT, "tools"))
    try:
        import write_docs
    finally:
        sys.path.pop(0)
    for row in write_docs.row_tests():
        area, number = re.match(r"([A-Z]+)(\d+)", row).groups()
        assert 1 <= int(number) <= write_docs.AREAS[area][1], row
    assert "| all |" in write_docs.rows()
