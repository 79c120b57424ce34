"""Records: whatever goes in comes out, and damaged bytes are refused and never run."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from fedtrees import ProtocolError
from fedtrees.core.data.record import Record, decode, encode
from fedtrees.core.data.table import Schema
from fedtrees.core.protocol.message import ReplyKind, Request
from fedtrees.core.protocol.query import Fact, Query
from fedtrees.core.protocol.start_messages import Weigh
from fedtrees.core.sampling.weighting import RowWeights, SiloWeights
from fedtrees.queries.counts import Counts, LabelExponents, LabelSums
from fedtrees.trees.messages.training import Grown
from fedtrees.trees.model.flat_trees import FlatTrees

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]


class Parcel(Record, frozen=True, eq=False):
    """One field of each kind that travels."""

    dimensions: ClassVar[dict[str, int | None]] = {"any": None}

    any: NDArray[np.generic]
    number: float = 0.0
    whole: int = 0
    text: str = ""
    flag: bool = False
    raw: bytes = b""
    pair: tuple[int, int] = (0, 0)
    names: list[str] = msgspec.field(default_factory=list)
    labels: list[Any] | None = None
    by_name: dict[str, list[Any]] = msgspec.field(default_factory=dict)


class FloatParcel(Record, frozen=True, eq=False):
    values: NDArray[np.float32]


def envelope(kind: str, **fields: Any) -> bytes:
    return msgspec.msgpack.encode([kind, msgspec.Raw(msgspec.msgpack.encode(fields))])


# -- there and back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0,), (5,), (2, 3), (0, 4), (2, 1, 3), ()], ids=str)
def test_arrays_of_each_type_and_shape_come_back(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    back = decode(encode(Parcel(array)), Parcel).any
    assert back.dtype == array.dtype and back.shape == array.shape
    np.testing.assert_array_equal(back, array)


@given(st.sampled_from(DTYPES).flatmap(lambda d: arrays(d, array_shapes(min_dims=1, max_dims=3, min_side=0))))
def test_every_bit_of_an_array_comes_back(array: NDArray[Any]) -> None:
    back = decode(encode(Parcel(array)), Parcel).any
    assert back.tobytes() == array.tobytes()  # NaNs, too, with their payloads


@pytest.mark.parametrize("dtype", [">i4", ">f8", ">u2"])
def test_big_endian_arrays_travel_little_endian(dtype: str) -> None:
    array = np.array([1, 2, 300]).astype(dtype)
    back = decode(encode(Parcel(array)), Parcel).any
    assert back.dtype.str == dtype.replace(">", "<")
    assert back.tolist() == [1, 2, 300]


def test_views_travel_as_what_they_show() -> None:
    array = np.arange(24).reshape(4, 6)
    for view in (array.T, array[::-2, 1::2], np.asfortranarray(array), np.broadcast_to(array[0], (3, 6))):
        np.testing.assert_array_equal(decode(encode(Parcel(view)), Parcel).any, view)


def test_all_plain_fields_come_back() -> None:
    parcel = Parcel(
        np.zeros(1), -1.5, 2**62, "Zürich", True, b"\x00\xff", (3, -4), ["a", ""], [1, "b", 2.5, None], {"c": [1]}
    )
    back = decode(encode(parcel), Parcel)
    for field in Parcel.__struct_fields__[1:]:
        assert getattr(back, field) == getattr(parcel, field), field


@given(st.lists(st.one_of(st.text(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))))
def test_labels_of_any_plain_kind_come_back(labels: list[Any]) -> None:
    back = decode(encode(LabelExponents(5, labels)), Query)
    assert isinstance(back, LabelExponents)
    assert back.labels == labels and [type(label) for label in back.labels] == [type(label) for label in labels]


@pytest.mark.parametrize("weighting", [RowWeights(), SiloWeights(), SiloWeights({"a": 0.5, "b": 2.0}, 10, 2)], ids=str)
def test_a_weighting_travels_as_what_it_is(weighting: RowWeights | SiloWeights) -> None:
    back = decode(encode(Weigh(weighting)), Fact)
    assert isinstance(back, Weigh)
    assert back.weighting == weighting


def test_arrays_read_are_not_written_to() -> None:
    back = decode(encode(Parcel(np.zeros(3))), Parcel).any
    with pytest.raises(ValueError, match="read-only"):
        back[0] = 1


# -- what is refused --------------------------------------------------------------------------------------


def test_a_record_of_another_kind_is_refused_by_name() -> None:
    with pytest.raises(ProtocolError, match=r"a 'Counts' where a Fact was expected; are the versions equal\?"):
        decode(encode(Counts(3)), Fact)
    with pytest.raises(ProtocolError, match="a 'Nothing' where a Query was expected"):
        decode(envelope("Nothing"), Query)


def test_an_array_of_another_type_is_refused() -> None:
    with pytest.raises(ProtocolError, match="an array of float64 where float32 was expected"):
        decode(envelope("FloatParcel", values=("<f8", [1], b"12345678")), FloatParcel)


# law: Record
def test_an_array_of_other_dimensions_is_refused() -> None:
    with pytest.raises(ProtocolError, match=r"FloatParcel\.values: an array of 2 dimensions"):
        decode(envelope("FloatParcel", values=("<f4", [1, 2], b"12345678")), FloatParcel)
    with pytest.raises(ValueError, match="an array of 0 dimensions"):
        FloatParcel(np.zeros((), np.float32))


@pytest.mark.parametrize(
    "array",
    [
        ("O", [1], b"12345678"),
        ("V0", [1], b""),
        ("S3", [1], b"abc"),
        ("<U1", [1], b"abcd"),
        ("M8[D]", [1], b"12345678"),
        ("<c8", [1], b"12345678"),
        (">i4", [1], b"1234"),
        ("f4,(", [1], b"1234"),  # NumPy would parse the rest as Python
        ("__import__('os')", [1], b"1234"),
        ("<i4", [2**63], b"1234"),
        ("<i4", [2**40, 2**40, 0], b""),
        ("<i4", [2], b"1234"),
        ("<i4", [1], b"123"),
        ("<i4", "ab", b"1234"),
        ("<i4", [1.0], b"1234"),
        ("<i4", [1], None),
        ("<i4", [1]),
        (["<i4"], [1], b"1234"),
        (None, [1], b"12345678"),
        None,
        7,
    ],
    ids=str,
)
def test_what_is_no_array_of_numbers_is_refused(array: object) -> None:
    with pytest.raises(ProtocolError, match="unreadable Parcel"):
        decode(envelope("Parcel", any=array), Parcel)


def test_fields_missing_or_of_another_type_are_refused() -> None:
    for fields in ({}, {"features": "three"}, {"features": None}, {"features": 1.5}):
        with pytest.raises(ProtocolError, match="unreadable Query"):
            decode(envelope("Counts", **fields), Query)


def test_nesting_without_end_is_refused() -> None:
    deep = b"\x91" * 100_000 + b"\x90"
    body = b"\x82" + msgspec.msgpack.encode("rows") + b"\x01" + msgspec.msgpack.encode("labels") + deep
    with pytest.raises(ProtocolError, match="unreadable Query"):
        decode(msgspec.msgpack.encode(["LabelExponents", msgspec.Raw(body)]), Query)


class Trap:
    """Raises where it is unpickled, which nothing here may do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('code of a message ran')",))


def test_a_pickle_is_not_opened() -> None:
    for data in (pickle.dumps(Trap()), envelope("Parcel", any=("O", [1], pickle.dumps(Trap())))):
        with pytest.raises(ProtocolError):
            decode(data, Parcel)


EXAMPLES: list[Record] = [
    Parcel(np.arange(6, dtype=np.int32).reshape(2, 3), names=["a"], labels=[1, "x"], by_name={"k": [1]}),
    Counts(3),
    LabelSums(10, ["a", "b"], (0, 1), 30),
    Weigh(SiloWeights({"a": 1.0}, 5, 1)),
    Grown(FlatTrees(*(np.zeros(1, t) for t in ("i4", "i4", "i4", "?", "i4"))), np.zeros(1, np.float32)),
    Schema(["a"], ["category"], {"a": ["x", "y"]}, True, [0, 1]),
]


@given(st.sampled_from(EXAMPLES), st.data())
def test_damaged_bytes_are_refused_or_are_another_record_of_the_class(record: Record, data: st.DataObject) -> None:
    good = encode(record)
    how = data.draw(st.sampled_from(["cut", "change", "insert", "noise"]))
    at = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.binary(min_size=1, max_size=8))
    damaged = {
        "cut": good[:at],
        "change": good[:at] + other + good[at + len(other) :],
        "insert": good[:at] + other + good[at:],
        "noise": other,
    }[how]
    try:
        assert isinstance(decode(damaged, type(record)), type(record))
    except ProtocolError:
        assert damaged != good


def test_cut_bytes_are_always_refused() -> None:
    for record in EXAMPLES:
        good = encode(record)
        for length in range(len(good)):
            with pytest.raises(ProtocolError):
                decode(good[:length], type(record))


# -- what cannot be sent ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["O", "U3", "S3", "M8[D]", "c16"])
def test_arrays_of_anything_but_numbers_do_not_travel(dtype: str) -> None:
    with pytest.raises(TypeError, match="does not travel"):
        encode(Parcel(np.zeros(2, dtype)))


def test_objects_do_not_travel() -> None:
    with pytest.raises(TypeError, match="Trap does not travel"):
        encode(Parcel(np.zeros(1), labels=[Trap()]))


def test_two_records_of_one_name_are_refused_where_they_are_defined() -> None:
    with pytest.raises(TypeError, match=r"two records are named Counts: in fedtrees\.queries\.counts and in elsewhere"):
        type(Record)("Counts", (Record,), {"__module__": "elsewhere"}, frozen=True, eq=False)


def test_a_silo_in_a_process_of_its_own_knows_every_kind() -> None:
    """Kinds are found where they live, whatever was imported before."""
    program = """
import pkgutil, importlib, sys
from fedtrees.core.data import record
import fedtrees
from fedtrees import Silo

silo = Silo("mayo", [[1.0], [2.0]], [0, 1])
assert "fedtrees.queries.ranks" not in sys.modules
try:
    record.decode(b"\\x92\\xa7Unknown\\x80", record.Record)
except fedtrees.ProtocolError:
    pass
from fedtrees.core.protocol.query import Fact, Question
known = set(record._KINDS)
for module in pkgutil.walk_packages(fedtrees.__path__, "fedtrees."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
# the rest is the server's own: states of trainings, and what is written down of a run
unknown = {name for name in set(record._KINDS) - known if issubclass(record._KINDS[name], (Fact, Question))}
assert not unknown, unknown
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_such_a_silo_answers() -> None:
    question = Request(bytes(16), 0, 0, 0, [], [Counts(1)]).encode()
    program = f"""
from fedtrees import Silo
print(Silo("mayo", [[1.0], [2.0]], [0, 1]).answer({question!r})[0])
"""
    said = subprocess.run([sys.executable, "-c", program], check=True, timeout=120, capture_output=True, text=True)
    assert said.stdout.strip() == str(int(ReplyKind.ANSWER))
