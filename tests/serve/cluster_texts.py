"""The texts of a cluster in one process."""

from serve.ray_texts import ClusterText


class Texts(dict[str, str]):
    """`ClusterTexts` of one process."""

    write, all = dict.__setitem__, dict.copy

    def read(self, name: str) -> str:
        return self.get(name, "")

    def remove(self, name: str) -> None:
        self.pop(name, None)

    def text(self, name: str) -> ClusterText:
        return ClusterText(self, name)  # type: ignore[arg-type]  # it reads and writes

    def add(self, name: str, text: str) -> bool:
        free = name not in self
        self.setdefault(name, text)
        return free
