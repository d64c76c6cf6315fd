"""Whose request it is, as far as callers must be kept apart: one who holds another key is another tenant.

The prefix cache of the language model is shared by all requests, and an answer that comes sooner tells that somebody
has asked with the same beginning. So each tenant's requests carry a salt, by which vLLM keeps their blocks apart.
"""

import hashlib
from collections.abc import Mapping
from contextvars import ContextVar

TENANT: ContextVar[str] = ContextVar("tenant", default="")  # of the request under way; "": callers without a key


def tenant_of(headers: Mapping[bytes, bytes]) -> str:
    """A digest of the key in `X-API-Key` or `Authorization: Bearer`, as ASGI gives headers; "" without one."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    key = headers.get(b"x-api-key", b"") or (token if scheme.lower() == b"bearer" else b"")
    return hashlib.blake2b(key.strip(), digest_size=16).hexdigest() if key.strip() else ""
