"""Numbers of traces: what is asked with and without guards."""
import pytest

from rushlight.compiler.sizes import Trace, are_same, is_about, matches


def test_opportunities_are_asked_for_without_guards():
    trace = Trace()
    n, m = trace.variable(24), trace.variable(24)
    assert are_same((n, 3), (n, 3)) and not are_same((n,), (m,)) and not are_same((n,), (24,)) and are_same((2, 3), (2, 3))
    assert not matches(n, 25) and not matches(n, m + 1) and not trace.guards
    assert matches(n, m) and matches(n, 24) and len(trace.guards) == 2


@pytest.mark.parametrize("limit", [24, 10])
def test_a_choice_of_speed_holds_about_the_limit(limit):
    trace = Trace()
    n = trace.variable(20)
    answer = is_about(n, limit)
    formula = trace.formula([n])
    assert answer is (20 <= limit) and is_about(20, limit) is answer
    held = [k for k in range(1, 200) if formula.evaluate([k]) is not None]
    assert held == (list(range(1, 97)) if answer else list(range(3, 200)))
