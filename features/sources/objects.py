"""What is declared of the objects of a CRM's export: their columns, what becomes of them, when a row is known."""

from __future__ import annotations

from dataclasses import dataclass

from configs.vocab import Target
from features.tables import Kind


@dataclass(frozen=True)
class Field:
    """One column. ``required``: the file must have it; ``filled``: it must hold a value; ``raw``: never decoded.

    ours: something that the CRM has no field for, looked for under `names`, or only where the mapping says.
    aliases: other names that exports give to the column.
    """

    name: str
    kind: Kind
    required: bool = False
    filled: bool = False
    raw: bool = False
    names: tuple[str, ...] = ()
    ours: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def candidates(self) -> tuple[str, ...]:
        """Columns to look for, in order."""
        return (*(self.names or (() if self.ours else (self.name,))), *self.aliases)


@dataclass(frozen=True)
class ObjectSpec:
    """One object. ``feeds``: what we make of it; ``clock``: when a row of it is known.

    required_for: the targets whose export must have it.
    """

    name: str
    feeds: str
    clock: str
    fields: tuple[Field, ...]
    required_for: tuple[Target, ...] = ()
    deleted: bool = False  # the export should hold deleted rows (queryAll)
    key: str = "Id"  # the field that tells rows apart; none where they may repeat
    inside: str = ""  # the object whose file may hold these rows too

    def field(self, name: str) -> Field:
        """The declared field. Raises KeyError, naming the object, where there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"{self.name} declares no {name!r}")


def must(name: str, kind: Kind, *names: str) -> Field:
    """A column that must be there and hold a value on every row."""
    return Field(name, kind, required=True, filled=True, names=names)


def there(name: str, kind: Kind, *names: str) -> Field:
    """A column that must be there."""
    return Field(name, kind, required=True, names=names)


def may(name: str, kind: Kind, *names: str) -> Field:
    """A column that may be there."""
    return Field(name, kind, names=names)


def ours(name: str, kind: Kind, *names: str) -> Field:
    """Something that the CRM has no field of its own for."""
    return Field(name, kind, names=names, ours=True)
