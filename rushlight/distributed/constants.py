"""torch.distributed.constants: how long a process waits for the others, unless it is told."""
from datetime import timedelta

default_pg_timeout = timedelta(minutes=30)
default_pg_nccl_timeout = timedelta(minutes=10)
