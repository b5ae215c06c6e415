"""What is stored comes back equal, or is refused; what was tampered with does not come back."""

from __future__ import annotations

import contextlib
import enum
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilient import ConfigError, StoreError
from resilient.storage.codec import LARGEST, MAGIC, Codec

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


class Price(msgspec.Struct):
    """A price, as an application has it."""

    currency: str
    amount: Decimal


@dataclass
class Point:
    """A point, as an application has it."""

    x: int
    y: tuple[int, ...]


class Pair(NamedTuple):
    """Two numbers."""

    one: int
    two: int


class Colour(enum.Enum):
    """A colour."""

    RED = "red"


def same(one: Any, other: Any) -> bool:
    """Equal, and a NaN equals itself."""
    return repr(one) == repr(other)


@given(PLAIN, st.sampled_from([None, 0, 10]), st.sampled_from([None, b"secret"]), st.text())
def test_plain_values_come_back(
    value: object, compress_above: int | None, secret: bytes | None, key: str
) -> None:
    """Whatever is plain is the same again, compressed and signed or not."""
    codec = Codec(compress_above=compress_above, secret=secret)
    assert same(codec.decode(codec.encode(value, key=key), key=key), value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Price, Price("EUR", Decimal("1.08"))),
        (list[Price], [Price("EUR", Decimal("1.08")), Price("USD", Decimal(1))]),
        (Point, Point(1, (2, 3))),
        (tuple[int, str], (1, "a")),
        (set[int], {1, 2}),
        (Colour, Colour.RED),
        (Pair, Pair(1, 2)),
        (datetime, datetime(2026, 11, 22, 10, 30, 15, 123456, tzinfo=UTC)),
        (dict[int, Decimal], {1: Decimal("0.1")}),
    ],
)
def test_typed_values_come_back(kind: Any, value: object) -> None:
    """With a type, a value has that type again."""
    codec = Codec(kind)
    back = codec.decode(codec.encode(value))
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ((1, 2), "value is tuple (1, 2) and would come back as list"),
        ({"a": [1, {2, 3}]}, "value['a'][1] is set {2, 3} and would come back as list"),
        ({"price": Decimal("1.0")}, "value['price'] is Decimal Decimal('1.0')"),
        ([Colour.RED], "value[0] is Colour"),
        (Pair(1, 2), "value is Pair Pair(one=1, two=2)"),
        (Point(1, (2,)), "value is Point Point(x=1, y=(2,)) and would come back as dict"),
        (object(), "cannot be stored"),
        ({"a": 2**64}, "cannot be stored"),
        ({1j: 1}, "cannot be stored"),
        ([math.nan, (1,)], "value[1] is tuple"),
        ("\ud800", "cannot be stored"),
    ],
)
def test_what_would_come_back_otherwise_is_refused(value: object, where: str) -> None:
    """The error says where in the value, what is there, and what would become of it."""
    with pytest.raises(TypeError) as refusal:
        Codec().encode(value)
    assert where in str(refusal.value)


def test_a_value_of_another_type_than_declared_is_refused() -> None:
    """At `set`, when whoever wrote it can still be told."""
    with pytest.raises(TypeError, match="cannot be read back as"):
        Codec(Price).encode({"currency": "EUR"})


def test_large_values_are_packed() -> None:
    """Above the limit and only where it helps."""
    codec = Codec(compress_above=100)
    assert len(codec.encode("a" * 10_000)) < 200
    assert codec.encode("a" * 50)[2] == 0
    noise = bytes(range(256))
    assert codec.encode(noise)[2] == 0


@given(st.data())
def test_a_tampered_value_does_not_come_back(data: st.DataObject) -> None:
    """Any byte changed, cut off or added: an error, and no value."""
    codec = Codec(secret=b"secret", compress_above=20)
    good = codec.encode({"balance": 100, "text": "a" * 100}, key="account")
    at = data.draw(st.integers(0, len(good) - 1))
    flip = data.draw(st.integers(1, 255))
    bad = data.draw(
        st.sampled_from(
            [good[:at] + bytes((good[at] ^ flip,)) + good[at + 1 :], good[:at], good + b"\0"]
        )
    )
    with pytest.raises(StoreError):
        codec.decode(bad, key="account")


def test_a_value_belongs_to_its_key() -> None:
    """One that was signed for another key is not believed, nor one without a signature."""
    codec = Codec(secret=b"secret")
    rich = codec.encode(1_000_000, key="rich")
    with pytest.raises(StoreError, match="poor: its signature is missing or wrong"):
        codec.decode(rich, key="poor")
    with pytest.raises(StoreError, match="signature is missing"):
        codec.decode(Codec().encode(1_000_000, key="rich"), key="rich")
    with pytest.raises(StoreError, match="no secret"):
        Codec().decode(rich, key="rich")


@given(st.binary(max_size=50))
def test_garbage_is_an_error_and_no_crash(garbage: bytes) -> None:
    """Whatever lies in a file or on a server: a value, or a `StoreError`."""
    for data in (garbage, MAGIC + garbage):
        with contextlib.suppress(StoreError):
            Codec(compress_above=10).decode(data, key="k")


def test_a_later_version_is_not_guessed_at() -> None:
    """It begins otherwise."""
    with pytest.raises(StoreError, match="this version cannot read"):
        Codec().decode(b"R\x02\x00" + Codec().encode(1)[3:])


def test_a_small_bomb_does_not_go_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """What unpacks to more than allowed is refused, and not unpacked to its end."""
    packed = Codec(compress_above=0).encode("a" * 100_000)
    assert len(packed) < 1000 < LARGEST
    monkeypatch.setattr("resilient.storage.codec.LARGEST", 1000)
    with pytest.raises(StoreError, match="more than 1000 bytes"):
        Codec().decode(packed)


@pytest.mark.parametrize(
    ("setting", "settings"), [("secret", {"secret": b""}), ("type", {"type": "no type"})]
)
def test_bad_settings_are_refused(setting: str, settings: dict[str, Any]) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigError, match=f"^{setting}="):
        Codec(**settings)


def test_what_is_too_deep_is_refused_both_ways() -> None:
    """A hundred thousand lists in each other end no thread: they are refused like other values."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(TypeError, match="cannot be stored"):
        Codec().encode(deep)
    with pytest.raises(StoreError, match="cannot be decoded"):
        Codec().decode(b"R\x01\x00" + b"\x91" * 100_000)


def test_what_is_compressed_can_be_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value beyond what is ever unpacked is stored as it is, and comes back."""
    monkeypatch.setattr("resilient.storage.codec.LARGEST", 1000)
    codec = Codec(compress_above=10)
    for size in (100, 990, 996, 997, 998, 1000, 5000):
        assert codec.decode(codec.encode(b"x" * size)) == b"x" * size


def test_a_secret_is_of_bytes_and_not_shown() -> None:
    """A text is refused when the codec is made, not at the first value."""
    with pytest.raises(ConfigError) as caught:
        Codec(secret="hunter2")  # type: ignore[arg-type]  # noqa: S106  (a case)
    assert "hunter2" not in str(caught.value)
