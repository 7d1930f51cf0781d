"""From what a user typed to files on disk, with where they came from."""

from labeling.sources.addresses import redact_text, redact_url, refuse_passwords
from labeling.sources.cameras import Recording, record_camera
from labeling.sources.content import remove_leftovers, sha256_of
from labeling.sources.expand import expand_sources, is_missing_path
from labeling.sources.failures import classify_failure
from labeling.sources.fetching import fetch
from labeling.sources.origins import FailedOrigin, Fetched, Origin, OriginKind
from labeling.sources.runtimes import JsRuntimeStatus, js_runtime_status

__all__ = [
    "FailedOrigin",
    "Fetched",
    "JsRuntimeStatus",
    "Origin",
    "OriginKind",
    "Recording",
    "classify_failure",
    "expand_sources",
    "fetch",
    "is_missing_path",
    "js_runtime_status",
    "record_camera",
    "redact_text",
    "redact_url",
    "refuse_passwords",
    "remove_leftovers",
    "sha256_of",
]
