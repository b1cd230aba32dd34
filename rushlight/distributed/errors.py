"""What goes wrong between processes; all are RuntimeErrors, as in PyTorch."""


class DistError(RuntimeError):
    """Any error of rushlight.distributed."""


class DistBackendError(DistError):
    """A process of the group is gone, late, or calls something else."""


class DistNetworkError(DistError):
    """A connection cannot be made."""


class DistStoreError(DistError):
    """A key of a store was not set in time."""
