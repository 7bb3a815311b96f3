"""What the simulated vendor does wrong on purpose, and how it behaves where its documents are silent or disputed."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import TypeAdapter, ValidationError

from smallcaps.errors import BadInput

PLAN_MESSAGE = "You are not entitled to this data. Please upgrade your plan at https://massive.com/pricing"


@dataclass(frozen=True)
class Faults:
    """All off by default. `…_every` n: the n-th, 2n-th … request; `…_first` n: the first n. Requests are counted from 1, as
    they come, those to /simulator/ left out; chance depends on `seed` and a request's number alone.
    """

    seed: int = 0

    # REST
    too_many_first: int = 0
    too_many_every: int = 0
    too_many_above: float = 0.0
    """Status 429 above so many requests a second."""
    retry_after: float | None = None
    """Seconds in the Retry-After header of a 429; None: no such header."""
    too_many_empty: bool = False
    """429 with an empty body."""
    unwell_first: int = 0
    unwell_every: int = 0
    unwell_share: float = 0.0
    """Share of requests that are answered with `unwell_status`."""
    unwell_status: int = 503
    drip_every: int = 0
    drip_seconds: float = 0.05
    """Pause between the twenty pieces of a dripping body."""
    cut_every: int = 0
    """Half the body is sent, then the connection is closed."""
    repeat_cursor: bool = False
    """The second page's next_url is its own."""
    foreign_next_url: str = ""
    """Origin that next_url names instead of this server's."""
    forbidden: tuple[str, ...] = ()
    """Paths, by their beginnings, that the plan does not cover: 403."""
    forbidden_message: str = PLAN_MESSAGE
    refuse_key: bool = False
    """No key is right: 401, auth_failed on the socket, 403 of the flat files."""

    # Flat files
    range_forbidden_every: int = 0
    """The n-th ranged GET is answered 403."""
    object_cut_every: int = 0
    """The n-th GET of an object ends half-way, with the connection."""
    truncate: str = ""
    """Objects whose key contains this are only half there."""
    republish: str = ""
    """Objects whose key contains this are replaced (other bytes, size and ETag; the market's later file, else the same rows) …"""
    republish_after: int = 0
    """… once this many listings were answered."""

    # WebSocket
    auth_seconds: float = 30.0
    """How long a connection may stay without a key."""
    plan_without_socket: bool = False
    max_connections: int = 0
    """Connections at a time; 0: any number."""
    over_limit: Literal["oldest", "newcomer"] = "oldest"
    """Who is closed above that (disputed)."""
    single_acks: bool = False
    """A frame for each acknowledgement (older servers) instead of one for all."""
    buffer_frames: int = 1_000
    """Frames that wait for a slow consumer before it is cut off …"""
    slow_consumer: Literal["close", "abort"] = "close"
    """… with a status and code 1008, or without a word (disputed)."""
    close_after: int = 0
    """Frames of events after which the connection is closed …"""
    close_code: int = 1001
    abort_after: int = 0
    """Frames of events after which it is dropped without a close frame."""
    silent_after: int = 0
    """Frames of events after which nothing is sent or read any more, pongs included."""
    oversize_every: int = 0
    """The n-th frame of events is over 1 MiB."""
    repeat_sequence_every: int = 0
    """The n-th trade has the sequence number of the one before."""
    backward_sequence_every: int = 0
    """The n-th trade has a lower sequence number than the one before."""
    quote_sizes_in_lots: bool = False
    """bs and as in round lots, as the documents still say."""
    sub_share_size_zero: bool = False
    """s of a print below one share is 0 (else 1)."""
    omit_trade_id: bool = False
    quote_condition_list: bool = False
    """c of a quote is a list, as over REST (else one number)."""
    luld_milliseconds: bool = False
    """t of LULD in ms, as documented (else ns, as measured)."""
    bars_by: Literal["participant", "sip"] = "participant"
    """The stamp by which live and second bars take a trade (unknown)."""
    send_cancels: bool = False
    """Cancel and correction records are sent as trades (unknown)."""

    @classmethod
    def read(cls, told: str) -> Self:
        """From `name=value,…` (several values with |) or a YAML file of names and values. Raises BadInput."""
        if "=" in told:
            pairs = (pair.partition("=") for pair in told.split(","))
            values: Any = {name.strip(): value.strip() for name, _, value in pairs}
            values = {name: value.split("|") if name == "forbidden" else value for name, value in values.items()}
        elif Path(told).is_file():
            values = yaml.safe_load(Path(told).read_text(encoding="utf-8")) or {}
        else:
            raise BadInput(f"--faults {told} is neither a file nor name=value,….")
        return cls.of(values)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From names and values. Raises BadInput where a name is unknown or a value is not of its kind."""
        names = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or (unknown := set(values) - names):
            what = f"Unknown faults {', '.join(sorted(unknown))}" if isinstance(values, Mapping) else "No faults"
            raise BadInput(f"{what}. Faults: {', '.join(sorted(names))}.")
        try:
            return TypeAdapter(cls).validate_python(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            raise BadInput(f"The fault {'.'.join(map(str, first['loc']))} cannot be set: {first['msg']}.") from None

    def unwell(self, number: int) -> bool:
        """Whether request `number` meets a server that is unwell."""
        drawn = self.unwell_share > 0 and random.Random(f"{self.seed}:{number}").random() < self.unwell_share
        return drawn or number <= self.unwell_first or nth(number, self.unwell_every)


def nth(number: int, every: int) -> bool:
    """Whether `number` is a multiple of `every`; never where that is 0."""
    return every > 0 and number % every == 0
