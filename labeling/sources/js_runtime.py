"""Which JavaScript runtime yt-dlp can use: some sites cannot be read without one."""

from typing import NamedTuple

RUNTIMES = ("deno", "node", "bun", "quickjs")
"""In yt-dlp's own order of preference. It tries those it is told of, and by itself only deno."""


class JsRuntimeStatus(NamedTuple):
    """What `maskmill doctor` says of it."""

    name: str | None
    version: str | None
    ok: bool
    explanation: str


def js_runtime_status() -> JsRuntimeStatus:
    """The best runtime found; starts each candidate once to ask for its version."""
    import yt_dlp
    from yt_dlp.globals import supported_js_runtimes

    found = [info for name in RUNTIMES if (info := supported_js_runtimes.value[name]().info)]
    best = next((info for info in found if info.supported), None)
    if best is None and found:
        old = found[0]
        return JsRuntimeStatus(
            old.name,
            old.version,
            False,
            f"{old.name} {old.version} is too old for yt-dlp {yt_dlp.version.__version__}; "
            "install deno, or node 22 or later",
        )
    if best is None:
        return JsRuntimeStatus(
            None, None, False, "none found; YouTube needs one: install deno, or node 22 or later"
        )
    if not _has_solver_scripts():
        return JsRuntimeStatus(
            best.name, best.version, False, "the package yt-dlp-ejs is missing: pip install 'yt-dlp[default]'"
        )
    return JsRuntimeStatus(best.name, best.version, True, f"found at {best.path}")


def _has_solver_scripts() -> bool:
    from importlib.util import find_spec

    return find_spec("yt_dlp_ejs") is not None
