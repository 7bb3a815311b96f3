"""How a bronze column comes from text: one declaration a column, read as SQL over a frame of text columns.

In such a frame nothing is null: what is absent is empty text.
"""

from collections.abc import Iterable
from dataclasses import dataclass

_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


@dataclass(frozen=True)
class Field:
    """How a bronze column comes from a text column. `zero_is_none`: the vendor writes 0 for nothing; `times`: what a
    whole number is multiplied by; `missing`: a text that stands for no value.

    Lists of integers are text with commas; other lists, maps and structs are JSON.
    """

    column: str
    text: str
    type: str
    optional: bool = False
    zero_is_none: bool = False
    times: int = 1
    missing: str | None = None

    @property
    def value(self) -> str:
        """SQL over the text columns; null where the text is empty or cannot be read."""
        return f"nullif({self._read}, 0)" if self.zero_is_none else self._read

    @property
    def unparsable(self) -> str:
        """SQL condition: there is text and it is not of the type."""
        if self.type == "array<int>":
            return f"exists({self._read}, item -> item IS NULL)"
        unread = f"({self._said} <> '' AND {self._read} IS NULL)"
        if self.type == "map<string,double>":
            return f"({unread} OR exists(map_values({self._read}), item -> item IS NULL))"
        return unread

    @property
    def _said(self) -> str:
        """SQL: the text, empty where it stands for no value."""
        return self.text if self.missing is None else f"if({self.text} = '{self.missing}', '', {self.text})"

    @property
    def _read(self) -> str:
        text, given = self._said, f"nullif({self._said}, '')"
        if self.type == "array<int>":
            listed = f"transform(split({text}, ','), item -> try_cast(trim(item) AS int))"
            return f"CASE WHEN {text} = '' THEN cast(array() AS array<int>) ELSE {listed} END"
        if self.type == "map<string,double>":
            items = f"from_json({given}, 'map<string,string>')"
            return f"transform_values({items}, (name, item) -> {_finite('item')})"
        if self.type.startswith("array<"):
            return f"from_json({given}, '{self.type}')"
        if self.type == "date":  # Spark would take part of a date for its first day.
            return f"CASE WHEN {text} RLIKE '{_DATE}' THEN try_cast({text} AS date) END"
        if self.type == "double":
            return _finite(given)
        value = f"try_cast({given} AS {self.type})"
        return value if self.times == 1 else f"try_multiply({value}, {self.times}L)"


def _finite(text: str) -> str:
    """SQL: the number in `text`, null where it is none or not finite."""
    number = f"try_cast({text} AS double)"
    return f"CASE WHEN abs({number}) < double('infinity') THEN {number} END"


def any_missing(fields: Iterable[Field]) -> str:
    """SQL condition: a required field is empty."""
    return " OR ".join(f"{field.text} = ''" for field in fields if not field.optional) or "false"


def any_unparsable(fields: Iterable[Field]) -> str:
    """SQL condition: a field's text is not of its type."""
    return " OR ".join(field.unparsable for field in fields) or "false"
