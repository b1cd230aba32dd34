"""What surrounds training: data loading, checkpointing, hooks."""
from rushlight.utils import data as data
