"""The HTML page of a run: without scripts, other files or other hosts."""

import base64
from importlib import resources

from jinja2 import Environment, StrictUndefined

from labeling.report import wording
from labeling.report.charts import bar, funnel_rows, histogram_chart
from labeling.report.contents import ReportData
from labeling.text import figures


def render_report(data: ReportData) -> str:
    """Render the page; the same data gives the same text, which can be encoded as UTF-8.

    All values are escaped. `data.tiles` is iterated once.
    """
    return render_page(
        "report.html.j2",
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
    """Render one of this folder's templates with the styles and filters."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "advice": wording.advice_for,
        "clock": figures.clock,
        "count": figures.count,
        "count_of": figures.count_of,
        "data_uri": _data_uri,
        "duration": figures.duration,
        "spaced": figures.spaced,
        "listing": wording.listing,
        "web_address": _web_address,
    }
    page = environment.from_string(_read(template)).render(styles=_read("report.css"), **values)
    return page.encode("utf-8", "replace").decode("utf-8")


def _read(name: str) -> str:
    return resources.files("labeling.report").joinpath(name).read_text(encoding="utf-8")


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"


def _web_address(url: str | None) -> str:
    """Return the URL if it may become a link, or an empty string for one that could run code or open a file."""
    return url if url and url.lower().startswith(("http://", "https://")) else ""
