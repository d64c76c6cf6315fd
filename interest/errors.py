"""One base class for every error a caller may see: `.status`, `.type` and `.code` on the class."""


class AttuneError(Exception):
    """Positional arguments only: keyword-only ones do not survive pickling between replicas."""

    status = 500
    type = "server_error"
    code = "internal_error"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message, param)
        self.message = message
        self.param = param

    def __str__(self) -> str:
        return self.message


class InvalidRequest(AttuneError):
    status, type, code = 422, "invalid_request_error", "invalid_request"


class MalformedRequest(AttuneError):
    status, type, code = 400, "invalid_request_error", "malformed_request"


class NotFound(AttuneError):
    status, type, code = 404, "invalid_request_error", "not_found"


class ConflictingWrite(AttuneError):
    status, type, code = 409, "invalid_request_error", "conflict"


class Gone(AttuneError):
    status, type, code = 410, "invalid_request_error", "gone"


class TooLarge(AttuneError):
    status, type, code = 413, "invalid_request_error", "too_large"


class UnsupportedMedia(AttuneError):
    status, type, code = 415, "invalid_request_error", "unsupported_media_type"


class DeadlineExceeded(AttuneError):
    status, type, code = 408, "timeout_error", "deadline_exceeded"


class Overloaded(AttuneError):
    """All permits are taken; `retry_after_s` is computed from the drain rate."""

    status, type, code = 429, "overloaded_error", "overloaded"

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.args = (message, retry_after_s)
        self.retry_after_s = retry_after_s


class NotReady(AttuneError):
    status, type, code = 503, "server_error", "not_ready"


class WrongRelease(AttuneError):
    """A stage was asked for a release that it does not hold."""

    status, type, code = 503, "server_error", "wrong_release"


class EngineDead(AttuneError):
    status, type, code = 503, "server_error", "engine_dead"


class InvalidRelease(AttuneError):
    status, type, code = 500, "server_error", "invalid_release"


class InvalidConfig(AttuneError):
    status, type, code = 500, "server_error", "invalid_config"
