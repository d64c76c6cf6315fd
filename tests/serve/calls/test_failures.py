"""Errors cross by class, with the text, parameter and status that they would have had in one process."""

import pytest

import serve.ranker  # StageFailed
import serve.streams.wire  # noqa: F401  # Unreachable, PartsLost
from interest.errors import AttuneError, InvalidRequest, Overloaded
from serve.calls.failures import body_of_error, error_of
from serve.calls.wire import packed


def heirs(kind: type[AttuneError]) -> list[type[AttuneError]]:
    return [kind, *(each for heir in kind.__subclasses__() for each in heirs(heir))]


def sent(error: AttuneError) -> AttuneError:
    return error_of(memoryview(b"".join(body_of_error(error))))


@pytest.mark.parametrize(
    "kind", [kind for kind in heirs(AttuneError) if kind.__module__.startswith(("interest", "serve"))]
)
def test_every_error_comes_as_its_own_class(kind: type[AttuneError]) -> None:
    error = kind("retriever", "no") if kind.__name__ == "StageFailed" else kind("what went wrong")
    found = sent(error)
    assert type(found) is kind
    assert (str(found), found.status, found.code, found.args) == (str(error), error.status, error.code, error.args)


def test_with_its_parameter_and_whatever_else_it_says() -> None:
    assert sent(InvalidRequest("k=0: must be 1 or more", "k")).param == "k"
    found = sent(Overloaded("full", 2.5))
    assert isinstance(found, Overloaded)
    assert found.retry_after_s == 2.5


class OnlyThere(InvalidRequest):
    """As a class that the other end has not imported."""


def test_an_error_of_an_unknown_class_comes_as_the_nearest_known_one() -> None:
    names = ["serve.there.OnlyThere", "interest.errors.InvalidRequest", "interest.errors.AttuneError"]
    found = error_of(memoryview(packed((names, ["no", "k", 3], "no"))))
    assert type(found) is InvalidRequest
    assert (str(found), found.status) == ("no", 422)
    assert type(error_of(memoryview(packed((["os.system"], ["ls"], "no"))))) is AttuneError


def test_arguments_that_are_no_plain_values_stay_behind() -> None:
    error = OnlyThere("no")
    error.args = (object(),)
    found = sent(error)
    assert type(found) is AttuneError
    assert str(found) == "no"


@pytest.mark.parametrize("told", [{"a": 1}, (["interest.errors.NotFound"], ["no", "k", 1, 2], "no"), ([], [[1]], "no")])
def test_nonsense_is_refused(told: object) -> None:
    with pytest.raises(ValueError, match=r"Expected|arguments"):
        error_of(memoryview(packed(told)))


@pytest.mark.parametrize("argument", ["half \ud83d", 2**70])
def test_what_messagepack_does_not_know_comes_as_the_plain_message(argument: str | int) -> None:
    error = Overloaded("full", argument) if isinstance(argument, int) else Overloaded(argument)
    found = sent(error)
    assert type(found) is AttuneError
    assert found.message == error.message.replace("\ud83d", "?")
