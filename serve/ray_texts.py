"""Small texts that all processes of one Ray Serve instance share: in the cluster's own memory, beside Serve's."""

from dataclasses import dataclass

import ray
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_get, _internal_kv_list, _internal_kv_put
from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

NAMESPACE = "attune"


class ClusterTexts:
    """Texts by name, in a folder. Every call blocks; errors are Ray's.

    They belong to the Serve controller that runs now: one that `serve shutdown` has ended left none that count.
    """

    def __init__(self, folder: str) -> None:
        controller = ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
        self._prefix = f"{controller._actor_id.hex()}/{folder}/"

    def text(self, name: str) -> "ClusterText":
        """One of them, that can be read and written alone."""
        return ClusterText(self, name)

    def read(self, name: str) -> str:
        """What it says; "" where there is none."""
        return (_internal_kv_get(self._prefix + name, namespace=NAMESPACE) or b"").decode()

    def write(self, name: str, text: str) -> None:
        _internal_kv_put(self._prefix + name, text, namespace=NAMESPACE)

    def add(self, name: str, text: str) -> bool:
        """Write it unless there is one already; whether it was written."""
        return not _internal_kv_put(self._prefix + name, text, overwrite=False, namespace=NAMESPACE)

    def remove(self, name: str) -> None:
        _internal_kv_del(self._prefix + name, namespace=NAMESPACE)

    def all(self) -> dict[str, str]:
        """Every one, by name."""
        names = (
            key.decode().removeprefix(self._prefix) for key in _internal_kv_list(self._prefix, namespace=NAMESPACE)
        )
        found = {name: self.read(name) for name in names}
        return {name: text for name, text in found.items() if text}  # one may be removed between the two


@dataclass(frozen=True, slots=True)
class ClusterText:
    """One text."""

    folder: ClusterTexts
    name: str

    def read(self) -> str:
        return self.folder.read(self.name)

    def write(self, text: str) -> None:
        self.folder.write(self.name, text)
