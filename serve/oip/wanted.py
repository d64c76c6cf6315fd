"""What was asked last of a user's model, for replicas that come later: they serve what the others do."""

from typing import Protocol

from serve.oip.model_config import Part


class Wanted(Part):
    """Of a model that nobody has loaded or unloaded: what its config file says, served.

    It holds until the next load or unload, whichever replicas die, and ends with the server's shutdown. When the server
    is deployed anew it holds too, but a model that came after the start and was unloaded is taken up like any folder.
    """

    override: str = ""  # a config as JSON in place of the file's
    loaded: bool = True


class Kept(Protocol):
    """Keeps a `Wanted` as JSON for all replicas of one model; "" where nothing was kept yet."""

    def read(self) -> str: ...

    def write(self, text: str) -> None: ...


class OwnKept:
    """Of a host that has no other replica."""

    def __init__(self, wanted: Wanted | None = None) -> None:
        self._text = "" if wanted is None else wanted.model_dump_json()

    def read(self) -> str:
        return self._text

    def write(self, text: str) -> None:
        self._text = text


def wanted_of(kept: Kept) -> Wanted:
    """What it keeps."""
    text = kept.read()
    return Wanted.model_validate_json(text) if text else Wanted()
