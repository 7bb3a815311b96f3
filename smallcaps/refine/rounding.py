"""How floating values are cut before they are compared or stored."""

_LEAST, _MOST = -6, 9
"""Powers of ten between which nearly all lies that is rounded."""


def significant(name: str) -> str:
    """Column `name` (a double) rounded half-even to 9 significant digits, so that a tie is a tie on every machine."""
    scale = _scale(name)
    # Spark computes once, in a method of its own, what is named twice outside of any condition. Of 0 the scale is null.
    return f"coalesce(rint({name} * {scale}) / {scale}, {name} + 0D)"


def _scale(name: str) -> str:
    """What a value is multiplied by to have 9 digits before its point.

    Looked up where it can be, since Spark's pow and log10 take many times as long as comparisons. Where log10 rounds a value just
    below a power of ten up to that power the two differ, and either scale rounds the value to that power.
    """
    size = f"abs({name})"
    known = " ".join(f"WHEN {size} >= 1e{power}D THEN 1e{8 - power}D" for power in range(_MOST - 1, _LEAST, -1))
    return (
        f"CASE WHEN {size} >= 1e{_MOST}D OR {size} < 1e{_LEAST}D THEN pow(10D, 8 - floor(log10({size}))) "
        f"{known} ELSE 1e{8 - _LEAST}D END"
    )
