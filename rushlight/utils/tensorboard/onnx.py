"""An ONNX file as a graph for TensorBoard: its inputs, outputs and operators.

The fields read are those of onnx.proto (github.com/onnx/onnx), the fields written those of TensorBoard's
node_def.proto and attr_value.proto.
"""
from __future__ import annotations

import struct

from .events import entry, part, shape, whole
from .reading import fields, numbers, one, signed, text

KINDS = {1: ("float32", 1), 2: ("uint8", 4), 3: ("int8", 6), 4: ("uint16", 17), 5: ("int16", 5), 6: ("int32", 3),
         7: ("int64", 9), 8: ("string", 7), 9: ("bool", 10), 10: ("float16", 19), 11: ("float64", 2), 12: ("uint32", 22),
         13: ("uint64", 23), 14: ("complex64", 8), 15: ("complex128", 18), 16: ("bfloat16", 14)}
UNKNOWN = "unknown", 0


def graph_def(path) -> bytes:
    """A GraphDef of the model in a file.

    Raises:
        ValueError: the file holds no ONNX model.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        nodes = nodes_of(fields(fields(data)[7][-1]))
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ValueError(f"add_onnx_graph: {path} holds no ONNX model") from error
    return b"".join(part(1, node) for node in nodes) + part(4, whole(1, 22))


def nodes_of(graph: dict) -> list[bytes]:
    """A NodeDef for each input, each output and each operator."""
    ends = [variable(fields(x)) for x in (*graph.get(11, ()), *graph.get(12, ()))]
    return ends + [operator(fields(x)) for x in graph.get(1, ())]


def variable(value: dict) -> bytes:
    """What goes in or comes out; sizes that a file leaves open are 0."""
    tensor = fields(one(fields(one(value, 2)), 1))
    sizes = [signed(one(fields(x), 1, 0)) for x in fields(one(tensor, 2)).get(1, ())]
    _, number = KINDS.get(one(tensor, 1, 0), UNKNOWN)
    return (part(1, text(one(value, 1))) + part(2, "Variable") + entry(5, "dtype", whole(6, number))
            + entry(5, "shape", part(7, shape(sizes))))


def operator(node: dict) -> bytes:
    """An operator, named as its first output, with its attributes as text."""
    name = (node.get(2) or node.get(3) or [b""])[0]
    about = ", ".join(attribute(fields(x)) for x in node.get(5, ()))
    return (part(1, text(name)) + part(2, text(one(node, 4))) + b"".join(part(3, text(x)) for x in node.get(1, ()))
            + entry(5, "parameters", part(2, about)))


def attribute(message: dict) -> str:
    """Name, value and type of an attribute, as PyTorch writes them; tensors by their dtypes and sizes."""
    return " = ".join(str(SHOWN[k](message[k])) for k in sorted(message) if k in SHOWN)


def floats(parts) -> list[float]:
    data = b"".join(parts)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def tensor(data: bytes) -> str:
    message = fields(data)
    kind, _ = KINDS.get(one(message, 2, 0), UNKNOWN)
    return f"{kind}{[signed(n) for n in numbers(message.get(1, ()))]}"


def last_text(parts) -> str:
    return text(parts[-1])


SHOWN = {       # by the numbers of AttributeProto's fields
    1: last_text, 2: lambda parts: floats(parts[-1:])[0], 3: lambda parts: signed(parts[-1]), 4: lambda parts: parts[-1],
    5: lambda parts: tensor(parts[-1]), 6: lambda parts: "graph", 7: floats,
    8: lambda parts: [signed(n) for n in numbers(parts)], 9: list, 10: lambda parts: [tensor(x) for x in parts],
    11: lambda parts: ["graph"] * len(parts), 13: last_text, 14: lambda parts: "type",
    15: lambda parts: ["type"] * len(parts), 20: lambda parts: parts[-1], 21: last_text,
    22: lambda parts: "sparse tensor", 23: lambda parts: ["sparse tensor"] * len(parts)}
