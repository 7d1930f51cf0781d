"""HTML pages without scripts, other files or other hosts."""

import base64
import re
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from labeling.report import wording
from labeling.report.charts import bar
from labeling.text import figures

_COMMAND = re.compile("`([^`]+)`")


def render_page(template: str, **values: object) -> str:
    """Render one of this folder's templates; the same values give the same text, which can be encoded as UTF-8.

    All values are escaped.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "advice": wording.advice_for,
        "clock": figures.clock,
        "commands": mark_commands,
        "count": figures.count,
        "count_of": figures.count_of,
        "data_uri": _data_uri,
        "duration": figures.duration,
        "spaced": figures.spaced,
        "listing": wording.listing,
        "web_address": _web_address,
    }
    environment.globals |= {
        "bar": bar,
        "cause_words": wording.CAUSES,
        "percent": figures.percent,
        "rate": wording.rate,
    }
    page = environment.from_string(_read(template)).render(styles=_read("report.css"), **values)
    return page.encode("utf-8", "replace").decode("utf-8")


def _read(name: str) -> str:
    return resources.files("labeling.report").joinpath(name).read_text(encoding="utf-8")


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"


def mark_commands(text: str) -> Markup:
    """Return text as HTML, escaped, with what is between backticks as code.

    >>> mark_commands("`maskmill try` shows <b>")
    Markup('<code>maskmill try</code> shows &lt;b&gt;')
    """
    return Markup(_COMMAND.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def _web_address(url: str | None) -> str:
    """Return the URL if it may become a link, or an empty string for one that could run code or open a file."""
    return url if url and url.lower().startswith(("http://", "https://")) else ""
