"""Plain records that travel: msgpack bodies with arrays as raw little-endian bytes.

A record names its kind, which is its class; reading one never runs anything but its constructor.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar, TypeVar, get_args, get_origin

import msgspec
import numpy as np

from fedtrees.errors import ProtocolError

_KINDS: dict[str, type[Record]] = {}
# imports all records: a silo in a process of its own has imported none of them when it is first asked
_ALL = "fedtrees.records"
# booleans and plain numbers, little-endian: whatever else NumPy would read a type from is refused
_DTYPES = frozenset(np.dtype(code).str for code in ("?", "i1", "u1", *(f"<{k}{n}" for k in "iuf" for n in "248")))


class Record(msgspec.Struct, frozen=True, eq=False):
    """A value that serialises to bytes and back. Subclasses are found by their names.

    Law: its arrays have the dimensions that its class states, wherever it comes from: kernels do not check lengths.

    Attributes
    ----------
    dimensions : dict of str to int or None
        Of the arrays that have more dimensions than one, by their fields; None for any number of them.
    """

    concrete: ClassVar[bool] = True
    dimensions: ClassVar[dict[str, int | None]] = {}

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, np.ndarray) and value.ndim != (self.dimensions.get(name, 1) or value.ndim):
                raise ValueError(f"{self.kind}.{name}: an array of {value.ndim} dimensions")

    def __init_subclass__(cls, **options: Any) -> None:  # msgspec's
        super().__init_subclass__(**options)
        other = _KINDS.setdefault(cls.__name__, cls)
        # msgspec builds a class twice where slots are added; only a namesake from elsewhere is a clash
        if other.__module__ != cls.__module__:
            raise TypeError(f"two records are named {cls.__name__}: in {other.__module__} and in {cls.__module__}")
        _KINDS[cls.__name__] = cls

    @property
    def kind(self) -> str:
        """The name this record travels under."""
        return type(self).__name__


R = TypeVar("R", bound=Record)


def _encode_other(value: object) -> object:
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        if little.dtype.str not in _DTYPES:
            raise TypeError(f"an array of {value.dtype} does not travel")
        return little.dtype.str, value.shape, little.tobytes()
    if isinstance(value, Record):
        return value.kind, value
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} does not travel")


def _decode_other(wanted: Any, value: Any) -> object:  # msgspec's hook: a type, and what a message has for it
    if get_origin(wanted) is np.ndarray:
        code, shape, data = value
        if code not in _DTYPES:
            raise ValueError(f"an array of {code!r}")
        array = np.frombuffer(data, np.dtype(code)).reshape(shape)
        (element,) = get_args(get_args(wanted)[1])
        if not issubclass(array.dtype.type, element):
            raise ValueError(f"an array of {array.dtype} where {element.__name__} was expected")
        return array
    raise TypeError(f"{wanted} does not travel")


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_other)


class _Envelope(msgspec.Struct, frozen=True, array_like=True):
    kind: str
    body: msgspec.Raw


_envelopes = msgspec.msgpack.Decoder(_Envelope)


def encode(record: Record) -> bytes:
    """Write a record, its kind first."""
    return _encoder.encode(_Envelope(record.kind, msgspec.Raw(_encoder.encode(record))))


def decode(data: bytes, wanted: type[R]) -> R:
    """Read a record that must be of the class ``wanted`` or one derived from it.

    Raises
    ------
    ProtocolError
        If the bytes are damaged, or hold a record of another or an unknown kind.
    """
    try:
        envelope = _envelopes.decode(data)
        if envelope.kind not in _KINDS:
            import_module(_ALL)
        cls = _KINDS.get(envelope.kind)
        if cls is None or not issubclass(cls, wanted):
            raise ProtocolError(f"a {envelope.kind!r} where a {wanted.__name__} was expected; are the versions equal?")
        return msgspec.msgpack.decode(envelope.body, type=cls, dec_hook=_decode_other)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"unreadable {wanted.__name__}: {error}") from error
