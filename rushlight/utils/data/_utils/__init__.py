"""torch.utils.data._utils: where programs look for the functions of collation."""
from . import collate as collate
