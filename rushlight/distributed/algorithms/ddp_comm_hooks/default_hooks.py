"""Means of gradients, as they are or in 16 bits on the way."""
from __future__ import annotations

from .... import dtypes
from ....futures import Future
from ... import collectives
from ...groups import current

__all__ = ["allreduce_hook", "bf16_compress_hook", "bf16_compress_wrapper", "fp16_compress_hook",
           "fp16_compress_wrapper"]


def mean_later(group, tensor) -> Future:
    """The future of the mean over the processes, which is written into the tensor."""
    tensor.div_(group.size())
    work = collectives.all_reduce(tensor, group=group, async_op=True)
    return work.get_future().then(lambda done: done.value()[0])


def allreduce_hook(process_group, bucket) -> Future:
    """The mean, as without a hook."""
    return mean_later(current(process_group), bucket.buffer())


def _compressed(group, bucket, dtype):
    buffer = bucket.buffer()
    return mean_later(group, buffer.to(dtype)).then(lambda done: buffer.copy_(done.value()))


def fp16_compress_hook(process_group, bucket) -> Future:
    """The mean of gradients rounded to float16."""
    return _compressed(current(process_group), bucket, dtypes.float16)


def bf16_compress_hook(process_group, bucket) -> Future:
    """The mean of gradients rounded to bfloat16."""
    return _compressed(current(process_group), bucket, dtypes.bfloat16)


def _wrapped(hook, dtype):
    def compressing(state, bucket):
        buffer = bucket.buffer()
        bucket.set_buffer(buffer.to(dtype))
        return hook(state, bucket).then(lambda done: buffer.copy_(done.value()))
    return compressing


def fp16_compress_wrapper(hook):
    """The hook on gradients rounded to float16."""
    return _wrapped(hook, dtypes.float16)


def bf16_compress_wrapper(hook):
    """The hook on gradients rounded to bfloat16."""
    return _wrapped(hook, dtypes.bfloat16)
