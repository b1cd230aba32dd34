"""Schedules of torch.profiler against PyTorch's."""
import pytest

from rushlight.profiler import ProfilerAction, schedule

profiler = pytest.importorskip("torch.profiler")


@pytest.mark.parametrize("arguments", [dict(wait=1, warmup=1, active=2), dict(wait=0, warmup=0, active=1, repeat=2),
                                       dict(wait=2, warmup=1, active=3, repeat=2, skip_first=3),
                                       dict(wait=4, warmup=1, active=1, skip_first=1, skip_first_wait=1)])
def test_schedules_are_pytorchs(arguments):
    theirs = profiler.schedule(**arguments)
    assert [schedule(**arguments)(i).name for i in range(30)] == [theirs(i).name for i in range(30)]
    assert list(ProfilerAction.__members__) == list(type(theirs(0)).__members__)
    with pytest.raises(AssertionError):
        schedule(wait=0, warmup=0, active=0)
