"""Plain HTTP to a simulated vendor."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import urllib3

from tests.sources.simulator.server.market import KEY


@dataclass(frozen=True)
class Asking:
    """Requests to one origin, with the right key unless another header is given."""

    origin: str

    def answer(self, path: str, method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
        """The whole response, whatever it is, asked for once."""
        given = {"Authorization": f"Bearer {KEY}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        url = path if path.startswith("http") else self.origin + path
        return urllib3.request(method, url, headers=given, retries=False, timeout=10)

    def body(self, path: str, status: int = 200) -> Any:
        """The JSON of an answer with the status expected."""
        response = self.answer(path)
        assert response.status == status, response.data
        return response.json()

    def pages(self, path: str) -> Iterator[Any]:
        """The bodies along next_url."""
        url: str | None = path
        while url:
            body = self.body(url)
            yield body
            url = body.get("next_url")

    def served(self, endpoint: str) -> dict[str, int]:
        """The account of an endpoint."""
        counts: dict[str, int] = self.body("/simulator/served")["endpoints"][endpoint]
        return counts
