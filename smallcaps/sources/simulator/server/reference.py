"""Reference endpoints that answer with one thing and not with pages: a security, its names, its like, the market's hours."""

from smallcaps.sources.simulator.server.clock import hours
from smallcaps.sources.simulator.server.records import active, as_of, known
from smallcaps.sources.simulator.server.served import Marks
from smallcaps.sources.simulator.server.wire import Answer, Ask, envelope, new_york_text, not_found
from smallcaps.sources.simulator.server.world import World


def details(world: World, ask: Ask) -> Answer:
    """`/v3/reference/tickers/{ticker}`: the security that had the ticker on `date`; without one, that has it today."""
    day, records = as_of(world, ask), world.records("ticker_details")
    for line, record in enumerate(records):
        if record["ticker"] == ask.parts["ticker"] and (active(record, day) if known(record, day) else False):
            results = {name: value for name, value in record.items() if value is not None and name != "delisted_utc"}
            marks = [Marks("ticker_details", len(records), [line])]
            return Answer(envelope(results={**results, "active": True}), 1, marks)
    raise not_found("Ticker not found.")


def events(world: World, ask: Ask) -> Answer:
    """`/vX/reference/tickers/{id}/events`: by ticker, CUSIP or FIGI, which the file lists as `ids`."""
    records, types = world.records("ticker_events"), (ask.text("types") or "").split(",")
    for line, record in enumerate(records):
        if ask.parts["id"] in record["ids"]:
            chosen = [event for event in record["events"] if types == [""] or event["type"] in types]
            results = {**{name: value for name, value in record.items() if name != "ids"}, "events": chosen}
            return Answer(envelope(results=results), 1, [Marks("ticker_events", len(records), [line])])
    raise not_found("Ticker not found.")


def related(world: World, ask: Ask) -> Answer:
    """`/v1/related-companies/{ticker}`: none where the file has none."""
    records = world.records("related_companies")
    for line, record in enumerate(records):
        if record["ticker"] == ask.parts["ticker"]:
            body = envelope(ticker=record["ticker"], results=record["results"])
            return Answer(body, len(record["results"]), [Marks("related_companies", len(records), [line])])
    return Answer(envelope(ticker=ask.parts["ticker"], results=[]))


def upcoming(world: World, ask: Ask) -> Answer:
    """`/v1/marketstatus/upcoming`: a bare array of holidays and early closes from today on."""
    records, today = world.records("holidays"), str(world.today())
    lines = [line for line, record in enumerate(records) if record["date"] >= today]
    return Answer([records[line] for line in lines], len(lines), [Marks("holidays", len(records), lines)])


def status(world: World, ask: Ask) -> Answer:
    """`/v1/marketstatus/now`: by the market's own clock."""
    now, today = world.now(), world.today()
    times, trades = hours(today), today in world.tape.days("day") or today == world.live
    early, late = trades and times.pre <= now < times.open, trades and times.close <= now < times.end
    market = "extended-hours" if early or late else "open" if trades and times.open <= now < times.close else "closed"
    body = {
        "market": market,
        "earlyHours": early,
        "afterHours": late,
        "serverTime": new_york_text(now),
        "exchanges": dict.fromkeys(("nyse", "nasdaq", "otc"), market),
        "currencies": {"fx": "open", "crypto": "open"},
        "indicesGroups": dict.fromkeys(("s_and_p", "nasdaq", "dow_jones"), market),
    }
    return Answer(body, 1, keys=[now])
