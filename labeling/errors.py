"""Everything that can go wrong, as one tree.

MaskmillError
├── ConfigError              wrong use: the run does not start (exit 2)
│   ├── UnknownModel         no segmenter of that kind or name
│   └── NoRunYet             nothing was labeled yet that could be worked with
├── SourceError              one source failed: stored with it, the run goes on (exit 3)
│   ├── SourceNotFound       no such file, folder, page or member
│   ├── SourceUnreachable    the server or camera did not answer, or answered with an error
│   ├── SourceRemoved        the site took the video down
│   ├── SourcePrivate        needs an account or permission
│   ├── SourceGeoBlocked     not shown in this country
│   ├── BotWall              the site wants proof of a person
│   ├── RateLimited          too many requests
│   ├── JsRuntimeMissing     the site needs a JavaScript runtime to be read
│   ├── NotAVideo            the bytes are something else
│   ├── EmptyVideo           a container without one decodable frame
│   ├── TruncatedVideo       the bytes end too early
│   ├── UnsupportedVideo     understood and refused
│   └── UnsafeArchive        a member that escapes, or a bomb
├── ModelError               a segmenter cannot be made or gave nonsense
│   ├── WeightsMissing       not in the folder and not to be fetched
│   ├── WeightsCorrupt       the bytes have another SHA-256
│   ├── ExtraMissing         a library that is needed for this is not installed
│   ├── ModelOutputWrong     shape, type or range is not what was declared
│   └── SegmenterUnreachable the service behind a segmenter did not answer
├── StorageError             the home, or the store of its images, cannot be read or written
│   ├── DiskFull
│   ├── HomeNotWritable
│   ├── StoreUnreachable     the object store did not answer, or not well, for a minute
│   └── StoreDenied          it knows no such bucket, or refuses our keys
├── DatabaseError
│   ├── DatabaseUnreachable
│   ├── AlreadyRunning       another process does the same on this database
│   ├── OtherDatabase        a worker has another one than the run that it works for
│   ├── SchemaTooOld         run `maskmill db upgrade`
│   └── SchemaTooNew         upgrade maskmill
├── NoSourceReadable              all sources of a run failed, or all its shards (in tasks/observability/final_state.py; exit 4)
├── Interrupted              stopped on purpose: what is not done is done another time
├── WorkerError              who was to work on a shard did not
│   ├── WorkerLost           its process died: killed, or out of memory
│   └── ClusterUnreachable   the cluster's scheduler does not answer, or no more
├── ExportError              a dataset cannot be written as asked
└── LabelStudioError              Label Studio cannot be used, or said something unexpected
    ├── LabelStudioUnreachable    nobody answers there, or not in time
    ├── LabelStudioDenied         the token is missing, wrong, expired or of a kind that is switched off
    ├── LabelStudioTooOld         a version whose interface we do not know
    ├── LabelStudioRefused        a request was answered with an error: too large, invalid, gone
    └── LabelStudioMissing        the local Label Studio cannot be installed or started
"""

from typing import ClassVar

from configs.errors import MaskmillError


class SourceError(MaskmillError):
    """A failure of one source; `retryable` says whether the same call may succeed later."""

    code = "source"
    retryable: ClassVar[bool] = False


class SourceNotFound(SourceError):
    code = "not_found"


class SourceUnreachable(SourceError):
    code = "unreachable"
    retryable = True


class SourceRemoved(SourceError):
    code = "removed"


class SourcePrivate(SourceError):
    code = "private"


class SourceGeoBlocked(SourceError):
    code = "geo_blocked"


class BotWall(SourceError):
    code = "bot_wall"
    retryable = True


class RateLimited(SourceError):
    code = "rate_limited"
    retryable = True


class JsRuntimeMissing(SourceError):
    code = "no_js_runtime"
    retryable = True


class NotAVideo(SourceError):
    code = "not_a_video"


class EmptyVideo(SourceError):
    code = "empty_video"


class TruncatedVideo(SourceError):
    code = "truncated"
    retryable = True


class UnsupportedVideo(SourceError):
    code = "unsupported_video"


class UnsafeArchive(SourceError):
    code = "unsafe_archive"


class ModelError(MaskmillError):
    code = "model"


class WeightsMissing(ModelError):
    code = "weights_missing"


class WeightsCorrupt(ModelError):
    code = "weights_corrupt"


class ExtraMissing(ModelError):
    code = "extra_missing"


class ModelOutputWrong(ModelError):
    code = "model_output"


class SegmenterUnreachable(ModelError):
    code = "segmenter_unreachable"


class StorageError(MaskmillError):
    code = "storage"


class DiskFull(StorageError):
    code = "disk_full"


class HomeNotWritable(StorageError):
    code = "home_not_writable"


class StoreUnreachable(StorageError):
    code = "store_unreachable"


class StoreDenied(StorageError):
    code = "store_denied"


class DatabaseError(MaskmillError):
    code = "database"


class DatabaseUnreachable(DatabaseError):
    code = "database_unreachable"


class AlreadyRunning(DatabaseError):
    code = "already_running"


class OtherDatabase(DatabaseError):
    code = "other_database"


class SchemaTooOld(DatabaseError):
    code = "schema_too_old"


class SchemaTooNew(DatabaseError):
    code = "schema_too_new"


class Interrupted(MaskmillError):
    code = "interrupted"


class WorkerError(MaskmillError):
    code = "worker"


class WorkerLost(WorkerError):
    code = "worker_lost"


class ClusterUnreachable(WorkerError):
    code = "cluster_unreachable"


class ExportError(MaskmillError):
    code = "export"


class LabelStudioError(MaskmillError):
    code = "studio"


class LabelStudioUnreachable(LabelStudioError):
    code = "label_studio_unreachable"


class LabelStudioDenied(LabelStudioError):
    code = "label_studio_denied"


class LabelStudioTooOld(LabelStudioError):
    code = "label_studio_too_old"


class LabelStudioRefused(LabelStudioError):
    """`status` is the HTTP status that said so."""

    code = "label_studio_refused"

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class LabelStudioMissing(LabelStudioError):
    code = "label_studio_missing"
