"""Files: PyTorch's checkpoint format, read and written without PyTorch.

    archive.py   the zip container: records, alignment, checksums, atomic replacement
    machine.py   pickle as data: a small machine for its opcodes that calls nothing foreign
    allowed.py   the globals that the machine knows
    pickling.py  Python's pickler and unpickler under PyTorch's names
    storages.py  between tensors and the flat arrays that a file holds
    rebuild.py   the functions that pickled tensors name
    legacy.py    files from before the zip container
"""
