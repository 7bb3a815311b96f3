"""How a bronze column comes from text: one declaration a column, read by `columns`."""

from dataclasses import dataclass


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
