"""The Data Docs of the quality suites: every table's last suite on one page, drawn by Great Expectations' own renderers.

Its pages themselves load their looks from other hosts and are bare without a network, so that only their sections are taken.
"""

import json
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from smallcaps.lake.quality_results import State
from smallcaps.lake.suites import great_expectations

PARTS = {
    "required": "Required columns",
    "key": "Key",
    "constraint": "Constraints: every row meets them",
    "table": "Expectations of this table",
}


def write_quality_page(states: list[State], folder: Path) -> Path:
    """Write index.html into `folder`, which is made if need be; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    page.write_text(render(states), encoding="utf-8")
    return page


def render(states: list[State]) -> str:
    """The page: no reads, no clock, no outside resources."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("smallcaps.serving", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = [(state, Markup(_sections(state))) for state in states]  # noqa: S704 - Great Expectations' HTML
    return environment.get_template("quality.html").render(
        tables=drawn, version=great_expectations().__version__ if drawn else ""
    )


def _sections(state: State) -> str:
    """A table's results by what its expectations come of, without the overview that Great Expectations puts before them."""
    great_expectations()
    from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaSectionView

    met = sum(one["success"] for one in state.results)
    suite = {
        "success": met == len(state.results),
        "suite_name": state.table,
        "suite_parameters": {},
        "results": [_result(one) for one in state.results],
        "statistics": {
            "evaluated_expectations": len(state.results),
            "successful_expectations": met,
            "unsuccessful_expectations": len(state.results) - met,
            "success_percent": 100 * met / len(state.results),
        },
        "meta": {"run_id": {"run_name": state.run_id, "run_time": state.checked_at.isoformat()}},
    }
    document = ValidationResultsPageRenderer().render(expectationSuiteValidationResultSchema.load(suite))
    sections = sorted(document.sections[1:], key=lambda section: list(PARTS.values()).index(section.section_name))
    view: Any = DefaultJinjaSectionView()
    return "".join(
        view.render({"section": section.to_json_dict(), "section_loop": {"index": f"{state.table}-{place}"}})
        for place, section in enumerate(sections)
    )


def _result(one: dict[str, Any]) -> dict[str, Any]:
    """Great Expectations' result, told under the part it belongs to and with what may be observed."""
    result: dict[str, Any] = json.loads(one["result"])
    result["expectation_config"]["kwargs"]["column"] = PARTS[one["part"]]
    name = f" ({one['expectation']}, {one['severity']})" if one["part"] in ("constraint", "table") else ""
    fault = f"; {one['rows_failed']:,} of {one['rows_checked']:,} rows at fault" if one["rows_failed"] else ""
    told = f"{one['words']}{name}: {one['expected']}{fault}"
    result["expectation_config"]["description"] = told.replace("$", "$$")
    return result
