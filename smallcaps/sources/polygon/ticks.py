"""Fields of trades and quotes, which flat files and REST name alike."""

from smallcaps.sources.fields import Field

PRICE, SIZE = "decimal(18,6)", "decimal(20,6)"
_STAMPS = (
    Field("sip_ns", "sip_timestamp", "bigint"),
    Field("participant_ns", "participant_timestamp", "bigint", optional=True, zero_is_none=True),
    Field("sequence_number", "sequence_number", "bigint"),
    Field("tape", "tape", "int", optional=True),
    Field("conditions", "conditions", "array<int>", optional=True),
)
QUOTE = (
    *_STAMPS,
    *(Field(f"{side}_price", f"{side}_price", PRICE) for side in ("bid", "ask")),
    *(Field(f"{side}_size", f"{side}_size", SIZE) for side in ("bid", "ask")),
    *(Field(f"{side}_exchange", f"{side}_exchange", "int", optional=True) for side in ("bid", "ask")),
    Field("indicators", "indicators", "array<int>", optional=True),
)


def trade_fields(size: str) -> tuple[Field, ...]:
    """Fields of a trade whose size is in text `size`."""
    return (
        *_STAMPS,
        Field("trf_ns", "trf_timestamp", "bigint", optional=True, zero_is_none=True),
        Field("trade_id", "id", "string", optional=True),
        Field("exchange", "exchange", "int"),
        Field("trf_id", "trf_id", "int", optional=True, zero_is_none=True),
        Field("price", "price", PRICE),
        Field("size", size, SIZE),
        Field("correction", "correction", "int", optional=True),
    )
