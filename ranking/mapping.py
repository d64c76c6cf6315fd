"""How the columns of somebody's files become our fields; without a mapping the columns bear our own names."""

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from interest.errors import InvalidConfig

Constant = str | bool | int | float
TimestampUnit = Literal["s", "ms", "us", "ns"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableMapping(_Frozen):
    """One table. Left of every colon stands a field of ours.

    `columns` None means: every field whose name is a column of the file. `values` translates cells ("*" stands for
    all others, empty ones included); `limits` keeps the first so many entries of a list field.
    """

    fields: ClassVar[tuple[str, ...]] = ()
    required: ClassVar[tuple[str, ...]] = ()
    list_fields: ClassVar[tuple[str, ...]] = ()

    columns: dict[str, str] | None = None
    constants: dict[str, Constant] = {}
    separators: dict[str, Annotated[str, Field(min_length=1)]] = {}
    limits: dict[str, Annotated[int, Field(ge=1)]] = {}
    values: dict[str, dict[str, str]] = {}
    timestamp_unit: TimestampUnit = "s"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None  # None: comma, or tab for .tsv

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for section, names in (
            ("columns", self.columns or {}),
            ("constants", self.constants),
            ("values", self.values),
        ):
            _refuse_unknown(section, names, self.fields)
        _refuse_unknown("separators", self.separators, self.list_fields)
        _refuse_unknown("limits", self.limits, self.list_fields)
        both = sorted(set(self.columns or {}) & set(self.constants))
        if both:
            raise ValueError(f"{both[0]!r} is both a column and a constant")
        return self

    def resolve(self, file: str, available: tuple[str, ...]) -> dict[str, str]:
        """Our field -> column of this file. Raises `InvalidConfig` when a named or required column is missing."""
        if self.columns is None:
            columns = {name: name for name in self.fields if name in available and name not in self.constants}
        else:
            columns = self.columns
        missing = [column for column in columns.values() if column not in available]
        missing += [name for name in self.required if name not in columns and name not in self.constants]
        if missing:
            raise InvalidConfig(f"{file}: no column {missing[0]!r}; its columns are {', '.join(available) or 'none'}")
        return columns


class ItemsMapping(TableMapping):
    """Fields of `interest.items.Item`; `attributes` maps attribute names to columns. `language` may be "detect"."""

    fields: ClassVar[tuple[str, ...]] = (
        "item_id",
        "title",
        "domain",
        "language",
        "categories",
        "tags",
        "text",
        "price",
        "created_at",
        "available",
        "attributes",
    )
    required: ClassVar[tuple[str, ...]] = ("item_id", "title")
    list_fields: ClassVar[tuple[str, ...]] = ("categories", "tags")

    attributes: dict[str, str] = {}

    def resolve(self, file: str, available: tuple[str, ...]) -> dict[str, str]:
        """As the base class; attribute columns must exist too."""
        for column in self.attributes.values():
            if column not in available:
                raise InvalidConfig(f"{file}: no column {column!r}; its columns are {', '.join(available) or 'none'}")
        return super().resolve(file, available)


class EventsMapping(TableMapping):
    """Fields of `interest.events.Event`. Without an event_id, ids are derived from the rows: repeats are known."""

    fields: ClassVar[tuple[str, ...]] = (
        "event_id",
        "type",
        "user_id",
        "item_id",
        "timestamp",
        "value",
        "text",
        "session_id",
        "recommendation_id",
        "position",
    )
    required: ClassVar[tuple[str, ...]] = ("type", "user_id", "item_id", "timestamp")


class UsersMapping(TableMapping):
    """Users with the interests they declared, as of `timestamp` (0 when there is none: anything later beats it)."""

    fields: ClassVar[tuple[str, ...]] = ("user_id", "timestamp", "categories", "tags", "keywords")
    required: ClassVar[tuple[str, ...]] = ("user_id",)
    list_fields: ClassVar[tuple[str, ...]] = ("categories", "tags", "keywords")


class FileNames(_Frozen):
    """By which file names a folder of this source is recognised."""

    items: str | None = None
    events: str | None = None
    held_out: str | None = None  # more events, only for `split="all"`
    users: str | None = None


class Mapping(_Frozen):
    """A source: its name enters derived event ids, so it must not change between two imports of the same data."""

    source: Annotated[str, Field(min_length=1, max_length=100)] = "import"
    files: FileNames = Field(default_factory=FileNames)
    items: ItemsMapping = Field(default_factory=ItemsMapping)
    events: EventsMapping = Field(default_factory=EventsMapping)
    users: UsersMapping = Field(default_factory=UsersMapping)


def load_mapping(path: Path) -> Mapping:
    """Read a YAML mapping. Raises `InvalidConfig` that names the file and the key."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{path}: cannot be read: {error}") from error
    return parse_mapping(text, str(path))


def parse_mapping(text: str, name: str) -> Mapping:
    """A mapping from YAML text; `name` stands in error messages. Raises `InvalidConfig`."""
    try:
        return Mapping.model_validate(yaml.safe_load(text) or {})
    except yaml.YAMLError as error:
        raise InvalidConfig(f"{name}: not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InvalidConfig(f"{name}: {where}: {first['msg']}", where) from error


def shipped_mappings() -> list[Mapping]:
    """The mappings that come with Attune, by file name."""
    files = sorted(resources.files("ranking.mappings").iterdir(), key=lambda file: file.name)
    return [parse_mapping(file.read_text(encoding="utf-8"), file.name) for file in files if file.name.endswith(".yaml")]


def _refuse_unknown(section: str, names: Iterable[str], known: tuple[str, ...]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r} in {section}: must be one of {', '.join(known) or 'none'}")
