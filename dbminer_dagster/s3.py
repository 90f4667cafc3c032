"""S3 and stores that speak its protocol: where, with which credentials, and what is wrong.

Keys come from the standard AWS chain (variables, profile, role). `storage_options` hands them to
Polars and delta-rs, which do not know the whole chain; `s3_client` is for everything else. Every
failure becomes one `LocationError` that says what to change. No message holds a secret.
"""

import os
import re
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dbminer_dagster.errors import LocationError, StorageError
from dbminer_dagster.s3_errors import URI_REMEDY, explain, explaining, message, region_guard

if TYPE_CHECKING:
    import boto3
    from botocore.client import BaseClient

__all__ = [
    "S3Location",
    "StorageOptions",
    "explain",
    "explaining",
    "probe_readable",
    "probe_writable",
    "s3_client",
    "storage_options",
]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# Polars and delta-rs escape other characters (a space, `%`, `ü`) differently: what the one writes,
# the other would not find.
_PREFIX = re.compile(r"[\w!.'()=@:+,$&/-]*", re.ASCII)
_SECRET_PARTS = re.compile(
    r"(?<=//).*(?=@)|(?<=\?).*"
)  # keys, or the signature of a signed address
_REGION = re.compile(r"[A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True)
class S3Location:
    """A prefix in a bucket, and the store that has it.

    Attributes:
        bucket: Name of the bucket.
        prefix: Start of the keys, without a slash at either end; empty for the whole bucket.
        region: Region of the bucket; that of the AWS profile when not given.
        endpoint_url: Address of an S3-compatible store; AWS itself when not given.
    """

    bucket: str
    prefix: str
    region: str | None = None
    endpoint_url: str | None = None

    @classmethod
    def parse(cls, uri: str, *, region: str | None, endpoint_url: str | None) -> "S3Location":
        """Reads `s3://bucket/prefix`, and the variables of AWS for what is not given.

        Raises:
            LocationError: The uri, the region or the endpoint is malformed.
        """
        scheme, _, rest = uri.partition("://")
        bucket, _, prefix = rest.partition("/")
        prefix = prefix.strip("/")
        shown = _SECRET_PARTS.sub("***", uri)
        if scheme != "s3" or not _BUCKET.fullmatch(bucket):
            raise LocationError(f"{shown!r} does not name an S3 bucket. {URI_REMEDY}")
        relative = prefix and {"", ".", ".."} & set(prefix.split("/"))
        if relative or not _PREFIX.fullmatch(prefix):
            raise LocationError(
                f"The prefix of {shown!r} has an empty or relative part, or a character other than "
                f"ASCII letters, digits and !_.'()=@:+,$&- in it. {URI_REMEDY}"
            )
        region = region or _variable("AWS_REGION", "AWS_DEFAULT_REGION")
        endpoint_url = endpoint_url or _variable("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        _check_store(region, endpoint_url)
        return cls(bucket, prefix, region, endpoint_url)

    @property
    def uri(self) -> str:
        """The location as `s3://bucket/prefix`."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def _variable(*names: str) -> str | None:
    """The first of these environment variables that is set to something."""
    return next(filter(None, map(os.environ.get, names)), None)


def _check_store(region: str | None, endpoint_url: str | None) -> None:
    if region and not _REGION.fullmatch(region):
        raise LocationError(
            f"{region!r} is not a region. Set DBMINER_S3_REGION to a name such as eu-central-1."
        )
    if endpoint_url and not _is_web_address(endpoint_url):
        raise LocationError(
            "The S3 endpoint is not an http or https address without a user and a query. "
            "Set DBMINER_S3_ENDPOINT_URL to http(s)://host[:port]."
        )


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is not a number
        return False
    plain = "@" not in parts.netloc and not parts.query
    return parts.scheme in {"http", "https"} and has_host and plain


class StorageOptions(dict[str, str]):
    """Options for an object store; their text form hides the credentials."""

    _SECRET = frozenset({"aws_access_key_id", "aws_secret_access_key", "aws_session_token"})

    def __repr__(self) -> str:
        return repr({key: "***" if key in self._SECRET else self[key] for key in self})


def storage_options(location: S3Location) -> StorageOptions:
    """Gives what Polars and delta-rs need to reach the location.

    The credentials are those of this moment: ask again for each read or write, since those of a
    role expire.

    Raises:
        LocationError: No credentials were found, or they could not be fetched.
    """
    import boto3  # slow to import, and only needed for S3
    from botocore.exceptions import NoCredentialsError  # the same

    with explaining(location, "reach"):
        session = boto3.Session()
        credentials = session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        keys = credentials.get_frozen_credentials()
        region = _region(location, session)
    endpoint = location.endpoint_url
    options = {
        "aws_region": region,
        "aws_endpoint_url": endpoint,
        "aws_allow_http": "true" if endpoint and endpoint.startswith("http:") else None,
        "aws_access_key_id": keys.access_key,
        "aws_secret_access_key": keys.secret_key,
        "aws_session_token": keys.token,
        # Commits are puts that fail if the object exists, so that no writer undoes another.
        "aws_conditional_put": "etag",
        # For delta-rs (default 180 s). `max_retries` can't be given: Polars takes only a number,
        # delta-rs only text.
        "retry_timeout": "10s",
    }
    return StorageOptions({key: value for key, value in options.items() if value})


def s3_client(location: S3Location, *, attempts: int = 4) -> "BaseClient":
    """Makes a boto3 client for the location, which refuses to be sent on to another region.

    Polars and delta-rs do not follow such a redirect; neither must what is tried before them.

    Args:
        location: The place to work on.
        attempts: How often a request is tried in all.
    """
    import boto3  # slow to import, and only needed for S3
    from botocore.config import Config  # the same

    config = Config(
        connect_timeout=5,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    with explaining(location, "reach"):
        session = boto3.Session()
        region = _region(location, session)
        client = session.client(
            "s3", region_name=region, endpoint_url=location.endpoint_url, config=config
        )
    client.meta.events.register("response-received.s3", region_guard(location, region))
    return client


def _region(location: S3Location, session: "boto3.Session") -> str:
    return location.region or session.region_name or "us-east-1"


def probe_readable(location: S3Location) -> None:
    """Makes sure that objects of the location can be listed and that there is one.

    Raises:
        LocationError: They cannot, or there is none; the message tells the causes apart.
    """
    directory = f"{location.prefix}/" if location.prefix else ""
    client = s3_client(location, attempts=2)
    with explaining(location, "list"):
        # Two, since a console that makes a "folder" leaves an empty object of that name.
        answer = client.list_objects_v2(Bucket=location.bucket, Prefix=directory, MaxKeys=2)
    if all(found["Key"] == directory for found in answer.get("Contents", ())):
        meaning = ("it holds no object", f"Copy the files there or correct the uri. {URI_REMEDY}")
        raise LocationError(message(location, "read", meaning))


def probe_writable(location: S3Location) -> None:
    """Makes sure that an object can be put, is not put twice when so asked, and can be deleted.

    Raises:
        LocationError: The location cannot be reached or written; the message tells why.
        StorageError: Delta tables would not work there.
    """
    if "=" in location.prefix:
        meaning = ("readers would take `=` for a partition column", f"Leave it out. {URI_REMEDY}")
        raise StorageError(message(location, "write to", meaning))
    client = s3_client(location, attempts=2)
    key = f"{location.prefix}/.dbminer-probe-{uuid.uuid4().hex}".lstrip("/")
    with explaining(location, "write to"):
        client.put_object(Bucket=location.bucket, Key=key)
        try:
            refused = _refuses_second(client, location.bucket, key)
        finally:
            client.delete_object(Bucket=location.bucket, Key=key)
    if not refused:
        meaning = (
            "it ignores conditional writes (If-None-Match), so that Delta commits could get lost",
            "Use a store that honours them.",
        )
        raise StorageError(message(location, "write to", meaning))


def _refuses_second(client: "BaseClient", bucket: str, key: str) -> bool:
    """Asks to put an object only if there is none, where there is one."""
    from botocore.exceptions import ClientError  # slow to import

    try:
        client.put_object(Bucket=bucket, Key=key, IfNoneMatch="*")
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.PRECONDITION_FAILED:
            raise
        return True
    return False
