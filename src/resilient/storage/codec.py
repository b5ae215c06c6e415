"""Values as bytes: MessagePack in an envelope that says its version, and can be signed."""

from __future__ import annotations

import hmac
import zlib
from typing import Any, cast

import msgspec

from resilient.errors import ConfigError, StoreError

__all__ = ["Codec"]

MAGIC = b"R\x01"
"""The first two bytes: ours, version 1."""

COMPRESSED, SIGNED = 1, 2
DIGEST = 32

LARGEST = 64 * 1024 * 1024
"""Bytes below which a value is compressed: a few bytes can say that they are a terabyte."""


class Codec:
    """Encodes values and decodes them, and refuses what would not come back as it was.

    * `type`: what to decode to: a class of msgspec, a dataclass, ``list[Price]``. Without it a
      value is made of `None`, booleans, 64-bit integers, floats, strings, bytes, aware `datetime`
      objects, and lists and dictionaries of them.
    * `compress_above`: bytes from which zlib is tried; `None` for never.
    * `secret`: signs each value, and its key with it, by HMAC-SHA256. What was tampered with, or
      was signed for another key, is not decoded.

    Raises `ConfigError`.

    Example::

        codec = Codec(compress_above=1000)
        codec.decode(codec.encode({"EUR": 1.08}))  # {'EUR': 1.08}
    """

    def __init__(
        self,
        type: Any = Any,  # noqa: A002  (what a user calls it)
        *,
        compress_above: int | None = None,
        secret: bytes | None = None,
    ) -> None:
        if secret is not None and not (isinstance(cast("object", secret), bytes) and secret):
            raise ConfigError("secret", "(not shown)", "bytes that are not empty, or None")
        self.type = type
        self._compress_above = compress_above
        self._secret = secret
        self._encoder = msgspec.msgpack.Encoder()
        try:
            self._decoder = msgspec.msgpack.Decoder(type)
        except TypeError as error:
            raise ConfigError("type", type, f"a type that msgspec can decode: {error}") from error

    def encode(self, value: object, *, key: str = "") -> bytes:
        """The bytes of `value`. Raises `TypeError`, saying where, if it would not come back equal.

        Parameters: `key`, what a signature binds the value to.
        """
        try:
            payload = self._encoder.encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            message = f"{_short(value)} cannot be stored: {error}"
            raise TypeError(message) from error
        self._check(value, payload)
        flags = 0
        if self._compress_above is not None and self._compress_above < len(payload) < LARGEST:
            smaller = zlib.compress(payload, 1)
            if len(smaller) < len(payload):
                payload, flags = smaller, COMPRESSED
        if self._secret is None:
            return MAGIC + bytes((flags,)) + payload
        head = MAGIC + bytes((flags | SIGNED,))
        return head + self._digest(self._secret, head, key, payload) + payload

    def decode(self, data: bytes, *, key: str = "") -> Any:
        """The value of `data`. Raises `StoreError` for what is not ours, or not as it was."""
        head, payload = data[:3], data[3:]
        if len(head) < len(MAGIC) + 1 or head[:2] != MAGIC:
            raise StoreError(key, f"it begins with {head!r}, which this version cannot read")
        payload = self._verified(head, key, payload)
        try:
            if head[2] & COMPRESSED:
                payload = _unpacked(payload)
            return self._decoder.decode(payload)
        except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise StoreError(key, f"it cannot be decoded: {error}") from error

    def _check(self, value: object, payload: bytes) -> None:
        """See that it comes back equal, while whoever wrote it can still be told."""
        try:
            back = self._decoder.decode(payload)
            differs = back != value
        except (msgspec.MsgspecError, RecursionError) as error:
            message = f"{_short(value)} cannot be read back as {self.type!r}: {error}"
            raise TypeError(message) from error
        if differs:
            where, before, after = _difference(value, back, "value")
            if before is None and after is None:
                return  # only a NaN, which equals nothing
            message = (
                f"{where} is {_short(before)} and would come back as {_short(after)}; "
                "give a type that says what to decode to, or store something plainer"
            )
            raise TypeError(message)

    def _verified(self, head: bytes, key: str, payload: bytes) -> bytes:
        signed = bool(head[2] & SIGNED)
        if self._secret is None:
            if signed:
                raise StoreError(key, "it is signed, and there is no secret to verify it with")
            return payload
        digest, payload = payload[:DIGEST], payload[DIGEST:]
        genuine = self._digest(self._secret, head, key, payload)
        if not (signed and hmac.compare_digest(digest, genuine)):
            raise StoreError(key, "its signature is missing or wrong")
        return payload

    @staticmethod
    def _digest(secret: bytes, head: bytes, key: str, payload: bytes) -> bytes:
        name = key.encode("utf-8", "surrogatepass")
        message = b"".join((head, len(name).to_bytes(8, "big"), name, payload))
        return hmac.digest(secret, message, "sha256")


def _unpacked(payload: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    found = unpacking.decompress(payload, LARGEST)
    if unpacking.unconsumed_tail or not unpacking.eof:
        message = f"cut short, or more than {LARGEST} bytes"
        raise zlib.error(message)
    return found


def _difference(value: Any, back: Any, where: str) -> tuple[str, Any, Any]:
    """The first place at which the two differ, and what is there; (where, None, None) for a NaN."""
    if isinstance(value, dict) and isinstance(back, dict) and value.keys() == back.keys():
        pairs = [(value[key], back[key], f"{where}[{key!r}]") for key in value]
    elif isinstance(value, list) and isinstance(back, list) and len(value) == len(back):
        pairs = [(*both, f"{where}[{at}]") for at, both in enumerate(zip(value, back, strict=True))]
    elif value != value and back != back:  # noqa: PLR0124  (what makes a NaN)
        return where, None, None
    else:
        return where, value, back
    found = [_difference(*pair) for pair in pairs if pair[0] != pair[1]]
    real = [one for one in found if one[1:] != (None, None)]
    return real[0] if real else (where, None, None)


def _short(value: object) -> str:
    try:
        text = f"{type(value).__name__} {value!r}"
    except Exception as error:  # noqa: BLE001  (an application's value may refuse in any way)
        text = f"{type(value).__name__} (its repr raises {type(error).__name__})"
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004  (a line)
