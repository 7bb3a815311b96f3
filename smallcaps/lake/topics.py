"""Topics of the live feed: what goes over Kafka, in the columns of the table it lands in."""

from smallcaps.lake import bronze, bronze_reference, gold
from smallcaps.lake.declaration import Column, Topic

DAY, WEEK = 24, 168

TRADES = Topic("trades", "Trades of the feed, in ms as the feed has them", bronze.TRADES, 12, 2 * DAY, "T")
QUOTES = Topic("quotes", "Best bid and offer updates of the feed, in ms", bronze.QUOTES, 24, 2 * DAY, "Q")
BARS = Topic(
    "bars",
    "One-minute bars as published; one that comes again, with the same start, takes the place of the earlier one. Without "
    "transactions, which the feed has not",
    bronze.BARS_1M,
    6,
    WEEK,
    "AM",
)
LULD = Topic("luld", "Limit bands, halts and resumptions", bronze.LULD, 1, WEEK, "LULD")
NEWS = Topic(
    "news",
    "News articles, polled from the vendor's REST: a message for each ticker that an article names, all of which land as one row",
    bronze_reference.NEWS,
    1,
    WEEK,
    also=(Column("symbol", "string", "Ticker that the message is for; null where the article names none"),),
)
SECTOR = Topic(
    "sector", "One-minute bars of the funds that stand for the market and its sectors", bronze.BARS_1M, 1, WEEK, "AM"
)
BOOK = Topic(
    "book",
    "Order books of 10 levels. Nothing feeds it yet: the vendor sells no depth, and the simulated market has it in files",
    bronze.BOOK,
    12,
    2 * DAY,
)
ALERTS = Topic(
    "alerts",
    "What the detectors say of the live tape. Of an event the alert with the highest revision holds; one may come twice",
    gold.EVENT_REVISIONS,
    6,
    WEEK,
)
SIGNALS = Topic(
    "signals",
    "What the registered model expects of alerts. Of an event the signal with the highest revision holds; one may come twice",
    gold.SIGNALS,
    6,
    WEEK,
)
DEAD_LETTERS = ("dead_letters", 1, WEEK)
"""Name, partitions and hours of the topic of messages that could not be taken: each as it came, its headers say why."""

TOPICS = (TRADES, QUOTES, BARS, LULD, NEWS, SECTOR, BOOK, ALERTS, SIGNALS)
