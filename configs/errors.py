"""All errors of maskmill, as one tree.

MaskmillError
├── ConfigError              wrong use: the run does not start (exit 2)
│   ├── UnknownModel         no segmenter of that kind or name
│   ├── TrajectoriesInvalid  a file of trajectories that cannot be read
│   ├── HomographyInvalid    not 3x3 finite numbers, or singular
│   ├── UnknownPerson        no trajectory of that person
│   └── NoRunYet             the home has no run yet
├── SourceError              one source failed: recorded, and the run continues (exit 3)
│   ├── SourceNotFound       no such file, folder, page or archive member
│   ├── SourceUnreachable    the server or camera did not answer, or answered with an error
│   ├── SourceRemoved        the site removed the video
│   ├── SourcePrivate        needs an account or permission
│   ├── SourceGeoBlocked     not available in this country
│   ├── BotWall              the site blocks automated access
│   ├── RateLimited          too many requests
│   ├── JsRuntimeMissing     the site can only be read with a JavaScript runtime
│   ├── NotAVideo            the content is not a video
│   ├── EmptyVideo           a container without one decodable frame
│   ├── TruncatedVideo       the content ends too early
│   ├── UnsupportedVideo     recognized, but not supported
│   ├── NoSuchPart           the video ends before the part that is asked for
│   ├── UnsafeArchive        a member that points out of the archive, or a decompression bomb
│   └── CameraMoves          a background requires a still camera
├── ModelError               a segmenter cannot be created, or its output is invalid
│   ├── WeightsMissing       not in the folder, and download is off or failed
│   ├── WeightsCorrupt       the file has another SHA-256
│   ├── ExtraMissing         a required optional library is not installed
│   ├── ModelOutputWrong     shape, type or range differs from the declared one
│   │   └── AnnotationsContradict  coordinates of a record contradict the image or each other
│   ├── InsufficientMasks    too few frames of a person have a mask to learn from
│   └── SegmenterUnreachable the service behind a segmenter did not answer
├── StorageError             the home or the image store cannot be read or written
│   ├── DiskFull             no space left
│   ├── HomeNotWritable      no permission, or something else is at that path
│   ├── StoreUnreachable     the object store did not answer correctly for a minute
│   └── StoreDenied          no such bucket, or the store refuses our keys
├── DatabaseError            the database cannot be used
│   ├── DatabaseUnreachable  it cannot be opened or connected to
│   ├── AlreadyRunning       another process does the same on this database
│   ├── OtherDatabase        a worker uses another database than its run
│   ├── SchemaTooOld         run `maskmill db upgrade`
│   └── SchemaTooNew         upgrade maskmill
├── NoSourceReadable         all sources of a run failed, or all its shards (in tasks/observability/final_state.py; exit 4)
├── Interrupted              stopped by the user: the rest is done by a later run
├── UnexpectedError          a defect of maskmill or of a library; the log has the traceback
├── WorkerError              a worker did not finish its shard
│   ├── WorkerLost           its process ended: killed, or out of memory
│   └── ClusterUnreachable   the cluster's scheduler does not answer
├── PrefectNotStarted        Prefect's temporary server could not be started
├── ExportError              a dataset cannot be written as requested
├── WebError                 the web page cannot do what a request asks for
│   ├── UploadRefused        not a form, too large, or without a usable file
│   └── JobNotFound          no job with that id, or not any more
└── LabelStudioError         Label Studio cannot be used, or its answer is unexpected
    ├── LabelStudioUnreachable    it did not answer, or not in time
    ├── LabelStudioDenied         the token is missing, wrong, expired or of a disabled kind
    ├── LabelStudioTooOld         a version with an unknown interface
    ├── LabelStudioRefused        a request was answered with an error: too large, invalid, gone
    └── LabelStudioMissing        the local Label Studio cannot be installed or started
        └── NoLabelStudio         none was ever started or named here
"""

import re
from collections.abc import Iterator
from typing import ClassVar


class MaskmillError(Exception):
    """Base of all errors. The message names the thing, its value and what to do next."""

    code: ClassVar[str] = "error"
    """Stable name under which a failure is stored and counted: the class name in snake case, or set in the class."""
    advice: ClassVar[str] = "read the message and run again when its cause is gone"
    """What the user can do about any error of this class."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "code" not in vars(cls):
            cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__.removesuffix("Error")).lower()


class ConfigError(MaskmillError): ...


class UnknownModel(ConfigError): ...


class TrajectoriesInvalid(ConfigError): ...


class HomographyInvalid(ConfigError): ...


class UnknownPerson(ConfigError): ...


class NoRunYet(ConfigError): ...


class SourceError(MaskmillError):
    retryable: ClassVar[bool] = False
    """The same call may succeed later."""
    advice = "open the source in a browser or a player"


class SourceNotFound(SourceError):
    code = "not_found"
    advice = "check the path or address for a typing mistake, and that the file still exists"


class SourceUnreachable(SourceError):
    code = "unreachable"
    retryable = True
    advice = "check the address, the network and that the server or camera is on, then run again"


class SourceRemoved(SourceError):
    code = "removed"
    advice = "the site no longer has the video: remove it from the list"


class SourcePrivate(SourceError):
    code = "private"
    advice = "set ingest.cookies_file to the cookies of an account that may see it"


class SourceGeoBlocked(SourceError):
    code = "geo_blocked"
    advice = "download it in a country where it is available, then use the file as source"


class BotWall(SourceError):
    retryable = True
    advice = "set ingest.cookies_file, raise ingest.pause_s, and run again later"


class RateLimited(SourceError):
    retryable = True
    advice = "raise ingest.pause_s and run again after an hour"


class JsRuntimeMissing(SourceError):
    code = "no_js_runtime"
    retryable = True
    advice = "install Deno, or Node.js 22 or later; `maskmill doctor` shows which runtime is found"


class NotAVideo(SourceError):
    advice = "use the address of a video, a playlist or a channel"


class EmptyVideo(SourceError):
    advice = "play the file: no frame of it can be decoded; download or record it again"


class TruncatedVideo(SourceError):
    code = "truncated"
    retryable = True
    advice = "download or copy it again: its end is missing; if it fails again, the original is broken"


class UnsupportedVideo(SourceError):
    advice = "download it another way, or convert it, for example with ffmpeg to H.264 in MP4"


class NoSuchPart(SourceError):
    """The video ends before the part of it that is asked for."""

    advice = "name a part that the video has"


class UnsafeArchive(SourceError):
    advice = "unpack it by hand in a safe place, check it, then use the folder as source"


class CameraMoves(SourceError):
    advice = "use a clip with a still camera, or one shot of it between two cuts"

    def __init__(self, message: str, *, motion: str = "the camera moves") -> None:
        """`motion` describes the motion without advice."""
        super().__init__(message)
        self.motion = motion


class ModelError(MaskmillError): ...


class WeightsMissing(ModelError):
    advice = "allow the download, or put the weights into weights_dir"


class WeightsCorrupt(ModelError):
    advice = "delete the file and run again: it is downloaded again"


class ExtraMissing(ModelError): ...


class ModelOutputWrong(ModelError):
    code = "model_output"


class AnnotationsContradict(ModelOutputWrong): ...


class InsufficientMasks(ModelError):
    advice = "give a larger max_distance_px, other conventions, or a teacher that finds the person"


class SegmenterUnreachable(ModelError): ...


class StorageError(MaskmillError): ...


class DiskFull(StorageError):
    advice = "free some space in the home, then run again"


class HomeNotWritable(StorageError):
    advice = "give write permission on the home, or choose another"


class StoreUnreachable(StorageError): ...


class StoreDenied(StorageError): ...


class DatabaseError(MaskmillError): ...


class DatabaseUnreachable(DatabaseError): ...


class AlreadyRunning(DatabaseError): ...


class OtherDatabase(DatabaseError): ...


class SchemaTooOld(DatabaseError): ...


class SchemaTooNew(DatabaseError): ...


class Interrupted(MaskmillError): ...


class UnexpectedError(MaskmillError):
    advice = "report it with the traceback in the log; it is a defect of maskmill or of a library"


class WorkerError(MaskmillError): ...


class WorkerLost(WorkerError): ...


class ClusterUnreachable(WorkerError): ...


class PrefectNotStarted(MaskmillError): ...


class ExportError(MaskmillError): ...


class WebError(MaskmillError): ...


class UploadRefused(WebError):
    advice = "upload fewer or smaller videos"


class JobNotFound(WebError):
    advice = "go back to the list of videos"


class LabelStudioError(MaskmillError):
    code = "studio"


class LabelStudioUnreachable(LabelStudioError): ...


class LabelStudioDenied(LabelStudioError): ...


class LabelStudioTooOld(LabelStudioError): ...


class LabelStudioRefused(LabelStudioError):
    def __init__(self, message: str, *, status: int) -> None:
        """`status` is the HTTP status of the answer."""
        super().__init__(message)
        self.status = status


class LabelStudioMissing(LabelStudioError): ...


class NoLabelStudio(LabelStudioMissing):
    """None was ever started or named here; the other cases of `LabelStudioMissing` are mistakes."""


def error_classes(base: type[MaskmillError] = MaskmillError) -> Iterator[type[MaskmillError]]:
    """Yield `base` and all classes below it that are imported so far."""
    yield base
    for subclass in base.__subclasses__():
        yield from error_classes(subclass)
