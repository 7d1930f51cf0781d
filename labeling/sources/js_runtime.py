"""The JavaScript runtime that yt-dlp can use: some sites cannot be read without one."""

from importlib.util import find_spec
from typing import NamedTuple

RUNTIMES = ("deno", "node", "bun", "quickjs")
"""In yt-dlp's own order of preference. It tries only those in its options, by default only deno."""


class JsRuntimeStatus(NamedTuple):
    """The runtime as `maskmill doctor` shows it."""

    name: str | None
    version: str | None
    ok: bool
    explanation: str


def js_runtime_status() -> JsRuntimeStatus:
    """Return the best runtime that is installed; starts each candidate once to get its version."""
    import yt_dlp
    from yt_dlp.globals import supported_js_runtimes

    found = [info for name in RUNTIMES if (info := supported_js_runtimes.value[name]().info)]
    if not found:
        advice = "none found; YouTube needs one: install deno, or node 22 or later"
        return JsRuntimeStatus(None, None, False, advice)
    best = next((info for info in found if info.supported), found[0])
    if not best.supported:
        explanation = (
            f"{best.name} {best.version} is too old for yt-dlp {yt_dlp.version.__version__}; "
            "install deno, or node 22 or later"
        )
    elif find_spec("yt_dlp_ejs") is None:
        explanation = "the package yt-dlp-ejs is missing: pip install 'yt-dlp[default]'"
    else:
        return JsRuntimeStatus(best.name, best.version, True, f"found at {best.path}")
    return JsRuntimeStatus(best.name, best.version, False, explanation)
