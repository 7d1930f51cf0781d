"""Images in an S3 bucket that Label Studio opens itself, by URLs that it signs when somebody looks.

A URL that we signed would be dead after a week at most, and tasks wait for longer. So tasks name
`s3://bucket/key`, and a storage of the project says how that is opened. Somebody can have made that in
Label Studio; or we make it, with keys that the user has named for this purpose: Label Studio keeps them,
and our own go nowhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from configs import environment
from labeling.errors import LabelStudioRefused, LabelStudioUnreachable
from labeling.review.label_studio.http import Connection
from labeling.storage.object_store import ObjectStore, protocol_of

KEY_VARIABLE = environment.LABEL_STUDIO_AWS_ACCESS_KEY_ID.name
SECRET_VARIABLE = environment.LABEL_STUDIO_AWS_SECRET_ACCESS_KEY.name
_TITLE = "maskmill images"
_SIGNED_FOR_MIN = 60
"""One minute, Label Studio's default, is over before a slow page has asked."""


@dataclass(frozen=True, slots=True)
class S3Keys:
    """A pair that opens the bucket for reading; no representation shows it."""

    key_id: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where images lie in S3, or in what speaks like it."""

    name: str
    prefix: str
    """Without slashes around it; empty: the whole bucket."""
    endpoint: str | None
    """None: Amazon's."""
    region: str | None

    @property
    def url(self) -> str:
        return f"s3://{self.name}/{self.prefix}".rstrip("/")


def find_s3_keys(look_up: Callable[[str], str | None]) -> S3Keys | None:
    key_id, secret = (look_up(name) for name in (KEY_VARIABLE, SECRET_VARIABLE))
    return S3Keys(key_id, secret) if key_id and secret else None


def bucket_of(store: ObjectStore | None) -> Bucket | None:
    """None: it is no bucket of S3."""
    if store is None or protocol_of(store.url) not in {"s3", "s3a"}:
        return None
    name, _, prefix = store.url.partition("://")[2].partition("/")
    endpoint = environment.AWS_ENDPOINT_URL_S3.read() or environment.AWS_ENDPOINT_URL.read()
    region = environment.AWS_REGION.read() or environment.AWS_DEFAULT_REGION.read()
    return Bucket(name, prefix.strip("/"), endpoint, region)


def attach_bucket(connection: Connection, project: int, bucket: Bucket, keys: S3Keys) -> None:
    """Have a storage of the bucket in the project, with these keys: those that it had may be old.

    Raises:
        LabelStudioRefused: it cannot open the bucket with them.
    """
    body = {
        "project": project,
        "title": _TITLE,
        "bucket": bucket.name,
        "prefix": bucket.prefix,
        "s3_endpoint": bucket.endpoint,
        "region_name": bucket.region,
        "aws_access_key_id": keys.key_id,
        "aws_secret_access_key": keys.secret,
        "use_blob_urls": True,
        "presign": True,
        "presign_ttl": _SIGNED_FOR_MIN,
    }
    storages = connection.get("/api/storages/s3", project=project)
    ours = [one["id"] for one in storages if one["title"] == _TITLE and _opens(one, bucket)]
    try:
        if ours:
            connection.patch(f"/api/storages/s3/{ours[0]}", body)
        else:
            connection.post("/api/storages/s3", body)
    except (LabelStudioRefused, LabelStudioUnreachable) as exc:
        # A bucket that it cannot open is a fault of its own to Label Studio, for other servers than
        # Amazon's: who answers right afterwards was not away.
        connection.get("/api/storages/s3", project=project)
        raise LabelStudioRefused(
            f"Label Studio cannot open {bucket.url} with the keys in {KEY_VARIABLE} and {SECRET_VARIABLE} "
            f"({exc}): they must be allowed to list and read there, from where it runs",
            status=getattr(exc, "status", HTTPStatus.INTERNAL_SERVER_ERROR),
        ) from exc


def signs_bucket(connection: Connection, project: int, bucket: Bucket) -> bool:
    """Whether a storage of the project, made by whomever, opens what lies in the bucket."""
    return any(_opens(storage, bucket) for storage in connection.get("/api/storages/s3", project=project))


def _opens(storage: dict[str, object], bucket: Bucket) -> bool:
    """Label Studio goes by the bucket alone."""
    return storage["bucket"] == bucket.name
