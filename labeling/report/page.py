"""A report as one HTML page that needs nothing else: no script, no other file, no other host."""

import base64
from importlib import resources

from jinja2 import Environment, StrictUndefined

from labeling.report import wording
from labeling.report.charts import bar, funnel_rows, histogram_chart
from labeling.report.contents import (
    AgreementHistogram,
    ExampleImage,
    FrameCounts,
    ModelLine,
    ReportData,
    RunHeader,
    SourceFailure,
    SourceLine,
    StageTime,
)
from labeling.text import figures
from labeling.text.figures import clock

__all__ = [
    "AgreementHistogram",
    "ExampleImage",
    "FrameCounts",
    "ModelLine",
    "ReportData",
    "RunHeader",
    "SourceFailure",
    "SourceLine",
    "StageTime",
    "render_report",
]

_TEMPLATE = "report.html.j2"
_STYLES = "report.css"


def render_report(data: ReportData) -> str:
    """Write the page; the same data gives the same text, which can always be encoded as UTF-8.

    Everything in it is escaped. `data.tiles` is gone through once.
    """
    return render_page(
        _TEMPLATE,
        data=data,
        sentence=wording.summarize(data),
        funnel=funnel_rows(data.counts),
        histogram=histogram_chart(data.histogram),
        cause_words=wording.CAUSES,
        bar=bar,
        percent=figures.percent,
        rate=wording.rate,
    )


def render_page(template: str, **values: object) -> str:
    """Fill one of this folder's templates, with the pages' styles and filters."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "advice": wording.advice_for,
        "clock": clock,
        "count": figures.count,
        "count_of": figures.count_of,
        "data_uri": _data_uri,
        "duration": figures.duration,
        "spaced": figures.spaced,
        "listing": wording.listing,
        "web_address": _web_address,
    }
    page = environment.from_string(_read(template)).render(styles=_read(_STYLES), **values)
    return page.encode("utf-8", "replace").decode("utf-8")


def _read(name: str) -> str:
    return resources.files("labeling.report").joinpath(name).read_text(encoding="utf-8")


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"


def _web_address(url: str | None) -> str:
    """The address if it may become a link; empty for anything that could run or open a file."""
    return url if url and url.lower().startswith(("http://", "https://")) else ""
