"""The tree of errors: stable codes, and a docstring that matches the classes."""

import re
import sys

import pytest

import configs.errors
from configs.errors import MaskmillError, SourceError, error_classes
from tasks.observability.final_state import NoSourceReadable

CODES = {
    "MaskmillError": "error", "ConfigError": "config", "UnknownModel": "unknown_model", "NoRunYet": "no_run_yet",
    "TrajectoriesInvalid": "trajectories_invalid", "HomographyInvalid": "homography_invalid",
    "UnknownPerson": "unknown_person", "InsufficientMasks": "insufficient_masks",
    "SourceError": "source", "SourceNotFound": "not_found", "SourceUnreachable": "unreachable",
    "SourceRemoved": "removed", "SourcePrivate": "private", "SourceGeoBlocked": "geo_blocked", "BotWall": "bot_wall",
    "RateLimited": "rate_limited", "JsRuntimeMissing": "no_js_runtime", "NotAVideo": "not_a_video",
    "EmptyVideo": "empty_video", "TruncatedVideo": "truncated", "UnsupportedVideo": "unsupported_video",
    "UnsafeArchive": "unsafe_archive", "CameraMoves": "camera_moves", "NoSuchPart": "no_such_part", "ModelError": "model", "WeightsMissing": "weights_missing",
    "WeightsCorrupt": "weights_corrupt", "ExtraMissing": "extra_missing", "ModelOutputWrong": "model_output",
    "AnnotationsContradict": "annotations_contradict",
    "SegmenterUnreachable": "segmenter_unreachable", "StorageError": "storage", "DiskFull": "disk_full",
    "HomeNotWritable": "home_not_writable", "StoreUnreachable": "store_unreachable", "StoreDenied": "store_denied",
    "DatabaseError": "database", "DatabaseUnreachable": "database_unreachable", "AlreadyRunning": "already_running",
    "OtherDatabase": "other_database", "SchemaTooOld": "schema_too_old", "SchemaTooNew": "schema_too_new",
    "NoSourceReadable": "nothing_read", "Interrupted": "interrupted", "UnexpectedError": "unexpected", "WorkerError": "worker",
    "WorkerLost": "worker_lost", "ClusterUnreachable": "cluster_unreachable",
    "PrefectNotStarted": "prefect_not_started", "ExportError": "export",
    "WebError": "web", "UploadRefused": "upload_refused", "JobNotFound": "job_not_found",
    "LabelStudioError": "studio", "LabelStudioUnreachable": "label_studio_unreachable",
    "LabelStudioDenied": "label_studio_denied", "LabelStudioTooOld": "label_studio_too_old",
    "LabelStudioRefused": "label_studio_refused", "LabelStudioMissing": "label_studio_missing",
    "NoLabelStudio": "no_label_studio",
}  # fmt: skip
"""Codes are stored in databases: a renamed class keeps its code."""
PACKAGES = ("configs", "labeling", "db", "tasks", "flows")


def product_errors() -> list[type[MaskmillError]]:
    return [error for error in error_classes() if error.__module__.split(".")[0] in PACKAGES]


def test_codes_stay_as_they_are_stored() -> None:
    codes = {error.__name__: error.code for error in product_errors()}
    assert {name: code for name, code in codes.items() if name in CODES} == CODES
    private = [name for name in codes if name not in CODES and not name.startswith("_")]
    assert private == []


def test_the_docstring_shows_every_class_below_its_base() -> None:
    path: list[str] = []
    shown = {}
    for line in (configs.errors.__doc__ or "").splitlines():
        if match := re.match(r"([│├└─ ]*)([A-Z]\w+)(?=\s|$)", line):
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            shown[match[2]] = path[depth - 1] if depth else "Exception"
    shown.pop("All", None)
    assert shown == {
        error.__name__: error.__bases__[0].__name__ for error in product_errors() if error.__name__ in CODES
    }


def test_a_class_without_a_code_of_its_own_is_named_by_its_class() -> None:
    class DiskOnFireError(MaskmillError): ...

    class DiskOnFireAgain(DiskOnFireError):
        code = "again"

    assert (DiskOnFireError.code, DiskOnFireAgain.code) == ("disk_on_fire", "again")


@pytest.mark.parametrize("error", list(error_classes(SourceError)))
def test_every_failure_of_a_source_has_advice_that_continues_a_message(error: type[SourceError]) -> None:
    assert error.advice != MaskmillError.advice
    assert re.match(r"[a-z`]", error.advice)
    assert not error.advice.endswith(".")


def test_an_http_status_is_kept() -> None:
    assert configs.errors.LabelStudioRefused("no", status=413).status == 413
    assert NoSourceReadable.__module__ in sys.modules
