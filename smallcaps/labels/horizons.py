"""How far labels look: minutes (`30m`), to the close (`close`), or to the close of a later session (`3d`)."""


def minutes(horizon: str) -> int | None:
    """The minutes of a horizon of minutes, else None."""
    return int(horizon[:-1]) if horizon.endswith("m") else None


def sessions(horizon: str) -> int:
    """How many sessions after the event's a horizon ends."""
    return int(horizon[:-1]) if horizon.endswith("d") else 0
