"""How floating values are cut before they are compared or stored."""


def significant(name: str) -> str:
    """Column `name` (a double) rounded half-even to 9 significant digits, so that a tie is a tie on every machine."""
    scale = f"pow(10D, 8 - floor(log10(abs({name}))))"
    return f"CASE WHEN {name} = 0 THEN 0D ELSE rint({name} * {scale}) / {scale} END"
