"""How FRED speaks (fred.stlouisfed.org/docs/api/fred): the key in the query, pages by offset, JSON where it is asked for.

120 requests a minute a key; at most 100,000 observations a page and 2,000 vintages a request. For a period before a series'
archive begins it says 400 in the words NOTHING, and the very same for a series that does not exist.
"""

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from smallcaps.sources.polygon.rest import Body, Dialect

NOTHING = "does not exist in ALFRED"


def next_page(body: Body) -> str | None:
    """The request for the page after this one: the same with a greater offset; None where it was the last."""
    content = body.json()
    if not isinstance(content, dict) or not all(isinstance(content.get(name), int) for name in _COUNTS):
        return None
    count, offset, limit = (content[name] for name in _COUNTS)
    if offset + limit >= count:
        return None
    parts = urlsplit(body.url)
    query = dict(parse_qsl(parts.query)) | {"offset": str(offset + limit)}
    return urlunsplit(parts._replace(query=urlencode(sorted(query.items()))))


_COUNTS = ("count", "offset", "limit")
FRED = Dialect(key_parameter="api_key", following=next_page, nothing=NOTHING)
