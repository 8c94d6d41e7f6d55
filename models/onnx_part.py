"""A part of an ONNX model as a model of its own, cut out of the file's bytes: serving has no `onnx` package.

Only what cutting needs is read of the format (protocol buffers; `onnx.proto`): which node makes which value of which.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

_GRAPH = 7  # of a model
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO = 1, 5, 11, 12, 13  # of a graph
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP = 1, 2, 4
_TENSOR_NAME = 8
_VALUE_NAME, _VALUE_TYPE = 1, 2
_FLOAT = b"\x0a\x02\x08\x01"  # of a value: a tensor of float32, of any shape


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: its kind, and the names of the values it takes and makes, `""` where one is left out."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def nodes(model: bytes) -> list[Node]:
    """The operations of a model, in the order they are run.

    Raises:
        ValueError: the bytes are no such model.
    """
    return [_node(body) for number, body in _fields(_graph(model)) if number == _NODE]


def part(model: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The model that makes the values `outputs` of the values `inputs`, all of them float32 tensors.

    Raises:
        ValueError: the bytes are no such model, or the outputs need more than these inputs.
    """
    graph = _graph(model)
    bodies = [body for number, body in _fields(graph) if number == _NODE]
    its = [_node(body) for body in bodies]
    makers = {name: n for n, node in enumerate(its) for name in node.outputs if name}
    constants = {_name(body, _TENSOR_NAME): body for number, body in _fields(graph) if number == _INITIALIZER}
    kept, used = _needed(its, makers, constants, inputs, outputs)
    whole = [_field(_NODE, bodies[n]) for n in sorted(kept)]
    whole += [_field(_INITIALIZER, constants[name]) for name in sorted(used)]
    whole += [_field(_INPUT, _value(name)) for name in inputs]
    whole += [_field(_OUTPUT, _value(name)) for name in outputs]
    dropped = (_NODE, _INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO)
    head = [_raw(number, body) for number, body in _fields(graph) if number not in dropped]
    rest = [_raw(number, body) for number, body in _fields(model) if number != _GRAPH]
    return b"".join([*rest, _field(_GRAPH, b"".join([*head, *whole]))])


def _needed(
    its: Sequence[Node],
    makers: Mapping[str, int],
    constants: Collection[str],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> tuple[set[int], set[str]]:
    """Which nodes and which constants lie between inputs and outputs."""
    kept: set[int] = set()
    used: set[str] = set()
    wanted = [name for name in outputs if name not in inputs]
    while wanted:
        name = wanted.pop()
        if name in constants:
            used.add(name)
        elif name not in makers:
            raise ValueError(f"the outputs need {name!r}, which is none of the inputs {', '.join(inputs)}")
        elif makers[name] not in kept:
            kept.add(makers[name])
            wanted += [needed for needed in its[makers[name]].inputs if needed and needed not in inputs]
    return kept, used


def _graph(model: bytes) -> bytes:
    graph = next((body for number, body in _fields(model) if number == _GRAPH), None)
    if not isinstance(graph, bytes):
        raise ValueError("an ONNX model without a graph")
    return graph


def _node(body: bytes | int) -> Node:
    fields = list(_fields(body))

    def texts(of: int) -> tuple[str, ...]:
        return tuple(_text(value) for number, value in fields if number == of)

    return Node("".join(texts(_NODE_OP)), texts(_NODE_INPUT), texts(_NODE_OUTPUT))


def _name(body: bytes | int, number: int) -> str:
    return next((_text(value) for its, value in _fields(body) if its == number), "")


def _text(value: bytes | int) -> str:
    if not isinstance(value, bytes):
        raise ValueError("a number in an ONNX model where a text belongs")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ValueError("a name in an ONNX model that is no text") from error


def _value(name: str) -> bytes:
    return _field(_VALUE_NAME, name.encode()) + _field(_VALUE_TYPE, _FLOAT)


def _fields(message: bytes | int) -> Iterator[tuple[int, bytes | int]]:
    """Number and value of each field of a message: numbers of any length, and bytes.

    Raises:
        ValueError: it is none, or has fields of fixed length, which no message of those read here has.
    """
    if not isinstance(message, bytes):
        raise ValueError("a number in an ONNX model where a message belongs")
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 == 0:
            number, at = _varint(message, at)
            yield key >> 3, number
        elif key & 7 == 2:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("the bytes are no ONNX model, or not all of it")
            yield key >> 3, message[at : at + length]
            at += length
        else:
            raise ValueError("the bytes are no ONNX model")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at
    raise ValueError("the bytes are no ONNX model, or not all of it")


def _raw(number: int, value: bytes | int) -> bytes:
    return _field(number, value) if isinstance(value, bytes) else _number(number << 3) + _number(value)


def _field(number: int, value: bytes | int) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number in an ONNX model where a message belongs")
    return _number(number << 3 | 2) + _number(len(value)) + value


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
