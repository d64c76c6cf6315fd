"""Errors as the body of a frame: by the names of their classes and with their arguments, never by code."""

from contextlib import suppress
from typing import Any

import msgspec

from interest.errors import AttuneError
from serve.calls.wire import Body, packed, unpacked

# (names of the error's class and its bases, from the nearest on; its arguments; its message)
_Failure = tuple[list[str], list[str | float | int | bool | None], str]
_failures = msgspec.msgpack.Decoder(_Failure)


def body_of_error(error: AttuneError) -> Body:
    """What `error_of` makes the same error of: same class, same arguments."""
    names = [_name(kind) for kind in type(error).__mro__ if issubclass(kind, AttuneError)]
    if all(isinstance(argument, str | float | int | None) for argument in error.args):
        with suppress(ValueError, OverflowError):  # half a character of text, a number beyond 64 bits
            return [packed((names, error.args, error.message))]
    message = error.message.encode("utf-8", "replace").decode()
    return [packed((names[-1:], (message,), message))]


def error_of(body: memoryview) -> AttuneError:
    """Of the nearest class that this process knows. Raises `ValueError` or `msgspec.MsgspecError` for nonsense."""
    names, arguments, message = _failures.decode(unpacked(body)[0])
    known = {_name(kind): kind for kind in _with_heirs(AttuneError)}
    kind: type[AttuneError] = next((known[name] for name in names if name in known), AttuneError)
    if names[:1] != [_name(kind)]:
        return kind(message)
    made: Any = kind  # each class has arguments of its own
    try:
        error: AttuneError = made(*arguments)
    except TypeError as wrong:
        raise ValueError(f"{names[0]}: {wrong}") from wrong
    return error


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _with_heirs(kind: type[AttuneError]) -> list[type[AttuneError]]:
    return [kind, *(each for heir in kind.__subclasses__() for each in _with_heirs(heir))]
