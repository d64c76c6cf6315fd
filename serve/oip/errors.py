"""The errors of the Open Inference Protocol surface, with the status codes that Triton gives them."""

from collections.abc import Iterator
from contextlib import contextmanager

from interest.errors import AttuneError, Overloaded


class InvalidInput(AttuneError):
    """Something about the request does not fit the protocol or the model."""

    status, type, code = 400, "invalid_request_error", "invalid_argument"


class UnknownModel(AttuneError):
    status, type, code = 404, "invalid_request_error", "model_not_found"


class Unsupported(AttuneError):
    """Part of the protocol that this server, or this model, does not have."""

    status, type, code = 501, "invalid_request_error", "unsupported"


class QueueFull(Overloaded):
    """Refused at the door or given up in the queue; Triton answers 503 where the native routes answer 429."""

    status, type, code = 503, "overloaded_error", "unavailable"


class ModelFailed(AttuneError):
    """The model itself raised."""

    status, type, code = 500, "server_error", "internal"


@contextmanager
def unknown_is_invalid() -> Iterator[None]:
    """Around what Triton calls invalid of a model that it does not have, where other calls say that it is unknown."""
    try:
        yield
    except UnknownModel as error:
        raise InvalidInput(error.message) from error
