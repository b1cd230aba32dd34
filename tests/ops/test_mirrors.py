"""Conjugates in place: what is recorded for an operation stays pending while its other operands are looked at."""
from weakref import ref

import rushlight as torch
from rushlight.trace.flush import flush, snapshot
from rushlight.trace.record import pending


def test_an_operand_that_no_storage_shows_is_still_there_after_a_flush():
    c = torch.complex(torch.arange(6.), torch.ones(6))
    z = c.conj()
    node, at = snapshot(z.storage, z.layout, z.offset)
    flush()
    assert at == 0 and node.buffer is None and ref(node) in pending.nodes
    assert torch.cat([z, z.conj()]).tolist() == [complex(k % 6, -1 if k < 6 else 1) for k in range(12)]
    del node
    flush()
    assert not pending.loose
