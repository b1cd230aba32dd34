"""Embeddings for TensorBoard's projector: tables of vectors and names, a picture of all labels."""
from __future__ import annotations

import math
import os
import re
import warnings

import numpy as np

from .events import png
from .media import as_bytes

CONFIG = "projector_config.pbtxt"


def encoded(tag: str) -> str:
    """A tag as the name of a folder."""
    return tag.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c")


def write(log_dir: str, vectors, metadata, images, step: int, tag: str, header) -> None:
    """Write the files of one embedding and list it in the folder's configuration."""
    check(vectors, metadata, images)
    inside = f"{str(step).zfill(5)}/{encoded(tag)}"
    folder = os.path.join(log_dir, inside)
    if os.path.isdir(folder):
        warnings.warn("Embedding dir exists, did you set global_step for add_embedding()?", stacklevel=3)
    elif os.path.exists(folder):
        raise NotADirectoryError(f"Path: `{folder}` exists, but is a file. Cannot proceed.")
    os.makedirs(folder, exist_ok=True)
    write_table(os.path.join(folder, "tensors.tsv"), vectors.tolist())
    fields = {"tensor_name": f"{tag}:{str(step).zfill(5)}", "tensor_path": f"{inside}/tensors.tsv"}
    if metadata is not None:
        write_table(os.path.join(folder, "metadata.tsv"), named(metadata, header))
        fields["metadata_path"] = f"{inside}/metadata.tsv"
    if images is not None:
        with open(os.path.join(folder, "sprite.png"), "wb") as file:
            file.write(png(sprite(as_bytes(images))))
    add_to_config(log_dir, block(fields, None if images is None else (f"{inside}/sprite.png", images.shape)))


def check(vectors, metadata, images) -> None:
    if vectors.ndim != 2:
        raise AssertionError("mat should be 2D, where mat.size(0) is the number of data points")
    if metadata is not None and len(metadata) != len(vectors):
        raise AssertionError("#labels should equal with #data points")
    if images is not None and len(images) != len(vectors):
        raise AssertionError("#images should equal with #data points")


def named(metadata, header):
    """The rows of a table of names."""
    if not header:
        return [[name] for name in metadata]
    if len(header) != len(metadata[0]):
        raise AssertionError("len of header must be equal to the number of columns in metadata")
    return [header, *metadata]


def write_table(path: str, rows) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            file.write("\t".join(map(str, row)) + "\n")


def sprite(images: np.ndarray) -> np.ndarray:
    """Images (n, channels, height, width) in a square of as many columns as rows."""
    n, c, h, w = images.shape
    side = math.ceil(math.sqrt(n))
    filled = np.concatenate([images, np.zeros((side * side - n, c, h, w), np.uint8)])
    grid = filled.reshape(side, side, c, h, w).transpose(0, 3, 1, 4, 2).reshape(side * h, side * w, c)
    return np.repeat(grid, 3, axis=2) if c == 1 else grid


# -- the configuration, a text format of protocol buffers ------------------------------------------
def block(fields: dict, picture) -> str:
    lines = ["embeddings {", *(f"  {name}: {quoted(x)}" for name, x in fields.items())]
    if picture is not None:
        path, (_, _, h, w) = picture
        lines += ["  sprite {", f"    image_path: {quoted(path)}", f"    single_image_dim: {w}",
                  f"    single_image_dim: {h}", "  }"]
    return "\n".join([*lines, "}\n"])


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def add_to_config(log_dir: str, made: str) -> None:
    """Append a block, in the place of one with the same name; those of earlier sessions stay."""
    path = os.path.join(log_dir, CONFIG)
    name = made.split("\n")[1]
    kept = [b for b in blocks(path) if name not in b.split("\n")]
    new = f"{path}.{os.getpid()}.new"
    with open(new, "w", encoding="utf-8") as file:
        file.write("".join([*kept, made]))
    os.replace(new, path)


def blocks(path: str) -> list[str]:
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [b for b in re.split(r"^(?=embeddings \{)", file.read(), flags=re.M) if b]
