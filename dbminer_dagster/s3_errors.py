"""What the errors of boto3 mean, and the one action that repairs each; see `dbminer_dagster.s3`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from dbminer_dagster.errors import LocationError

if TYPE_CHECKING:
    from dbminer_dagster.s3 import S3Location

Action = Literal["reach", "list", "read", "write to", "delete from"]
Meaning = tuple[str, str]  # what is wrong, and what to do about it

URI_REMEDY = "Set DBMINER_STORAGE_URI or DBMINER_OFFLINE_URI to s3://bucket/prefix."
_SIGN_IN = "Sign in again, or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN anew."
_NO_CREDENTIALS = (
    "no complete AWS credentials were found",
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run under a role.",
)
_EXPIRED = ("the session token has expired", _SIGN_IN)
_NO_BUCKET = ("the bucket does not exist", f"Create it or correct its name. {URI_REMEDY}")
_OTHER_REGION = (
    "the bucket is in another region",
    "Set DBMINER_S3_REGION to the region of the bucket.",
)
_BUSY = ("the store is overloaded or out of order", "Try again later.")

_REFUSALS: dict[str, Meaning] = {
    "InvalidAccessKeyId": (
        "the access key id is not known there",
        "Set AWS_ACCESS_KEY_ID (or AWS_PROFILE) to a key of this store.",
    ),
    "SignatureDoesNotMatch": (
        "the secret key does not belong to the access key id",
        "Set AWS_SECRET_ACCESS_KEY to the secret of this AWS_ACCESS_KEY_ID.",
    ),
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": ("the session token does not belong to the keys", _SIGN_IN),
    "RequestTimeTooSkewed": ("its clock and the local one differ", "Set the local clock."),
    "NoSuchBucket": _NO_BUCKET,
    "404": _NO_BUCKET,
    "NoSuchKey": ("the object does not exist", "Find out what deletes objects there, and retry."),
    "301": _OTHER_REGION,
    "PermanentRedirect": _OTHER_REGION,
    "AuthorizationHeaderMalformed": _OTHER_REGION,
    "SlowDown": _BUSY,
    "ServiceUnavailable": _BUSY,
    "InternalError": _BUSY,
    "500": _BUSY,
    "503": _BUSY,
}
_DENIED = frozenset({"AccessDenied", "AllAccessDisabled", "403"})
_WRITING = "s3:PutObject and s3:DeleteObject"
_PERMISSIONS: dict[Action, str] = {
    "reach": "s3:ListBucket",
    "list": "s3:ListBucket",
    "read": "s3:GetObject",
    "write to": _WRITING,
    "delete from": _WRITING,
}


def message(location: "S3Location", action: Action, meaning: Meaning) -> str:
    """Puts together what failed, where, why, and the remedy."""
    reason, remedy = meaning
    endpoint = location.endpoint_url or "AWS"
    region = location.region or "not set"
    return (
        f"Cannot {action} {location.uri} (endpoint {endpoint}, region {region}): {reason}. {remedy}"
    )


@contextmanager
def explaining(location: "S3Location", action: Action) -> Iterator[None]:
    """Turns an error of boto3 inside the block into a `LocationError`."""
    from botocore.exceptions import BotoCoreError, ClientError  # slow to import

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise explain(error, location, action) from error


def explain(error: Exception, location: "S3Location", action: Action) -> LocationError:
    """Says what an error of boto3 means, and what repairs it."""
    from botocore.exceptions import ClientError  # slow to import

    if isinstance(error, ClientError):
        meaning = _refusal(error.response.get("Error", {}), location, action)
    else:
        meaning = _failure(error)
    return LocationError(message(location, action, meaning))


def _refusal(answer: dict[str, Any], location: "S3Location", action: Action) -> Meaning:
    """The meaning of an answer that the store gave."""
    code = str(answer.get("Code", "unknown"))
    if code in _DENIED:
        permission = _PERMISSIONS[action]
        arn = f"arn:aws:s3:::{location.bucket}"
        if permission != "s3:ListBucket":
            arn = "/".join(filter(None, (arn, location.prefix, "*")))
        return f"access was denied ({code})", f"Allow {permission} on {arn} to these credentials."
    text = f"the store answered {code}: {answer.get('Message', '')}".rstrip(": .")
    return _REFUSALS.get(code, (text, "Look the code up in the documentation of the store."))


def _failure(error: Exception) -> Meaning:
    """The meaning of an error that came about without an answer of the store."""
    from botocore import exceptions as boto  # slow to import

    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return _NO_CREDENTIALS
    if isinstance(error, boto.ProfileNotFound):
        return "the AWS profile does not exist", "Set AWS_PROFILE to one of your profiles."
    if isinstance(error, boto.CredentialRetrievalError | boto.SSOError | boto.TokenRetrievalError):
        return "the AWS credentials could not be fetched", _SIGN_IN
    if isinstance(error, boto.SSLError):
        return (
            "the endpoint does not show a certificate that is trusted",
            "Name the authority's file in AWS_CA_BUNDLE and SSL_CERT_FILE, or use http.",
        )
    if isinstance(error, boto.HTTPClientError | boto.ConnectionError):
        return (
            "the endpoint cannot be reached",
            "Check DBMINER_S3_ENDPOINT_URL, DBMINER_S3_REGION, the network and the proxy.",
        )
    return f"{type(error).__name__}: {error}".rstrip("."), "Check the settings DBMINER_S3_*."


def region_guard(location: "S3Location", region: str) -> Callable[..., None]:
    """Watches the answers to a boto3 client for a store that wants another region.

    boto3 would follow silently. Polars and delta-rs would not, and fail later and less clearly.
    """

    def guard(parsed_response: dict[str, Any] | None, **_: object) -> None:
        wanted = _region_wanted(parsed_response or {})
        if wanted and wanted != region:
            reason = f"the bucket is in the region {wanted}, not in {region}"
            remedy = f"Set DBMINER_S3_REGION={wanted}."
            raise LocationError(message(location, "reach", (reason, remedy)))

    return guard


def _region_wanted(answer: dict[str, Any]) -> str | None:
    """The region that a refused request should have been signed for."""
    error = answer.get("Error", {})
    if error.get("Code") not in {"301", "400", "PermanentRedirect", "AuthorizationHeaderMalformed"}:
        return None
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers.get("x-amz-bucket-region") or error.get("Region")
