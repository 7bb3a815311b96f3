"""The keys to the vendor and to FRED: from the environment, else from AWS Secrets Manager. They are shown nowhere."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from smallcaps.config import s3_region
from smallcaps.errors import BadInput, FailedDependency

VARIABLES = ("POLYGON_API_KEY", "MASSIVE_API_KEY")
FRED_VARIABLES = ("FRED_API_KEY",)
FILE_VARIABLES = ("POLYGON_S3_ACCESS_KEY_ID", "POLYGON_S3_SECRET_ACCESS_KEY")


@dataclass(frozen=True)
class Key:
    """A key whose `repr` does not show it."""

    value: str = field(repr=False)


@dataclass(frozen=True)
class KeyPair:
    """The pair of keys to the vendor's flat files, which is not the API key. Its `repr` shows neither."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)


def read_file_keys(secret: str | None = None) -> KeyPair:
    """The pair in FILE_VARIABLES, else under these names in the AWS secret, which is a JSON object then.

    Raises BadInput where there is none, FailedDependency where AWS does not answer.
    """
    found = [os.environ.get(name, "").strip() for name in FILE_VARIABLES]
    if not all(found) and secret is not None:
        content = _object_in(_fetched(secret))
        found = [str(content.get(name, "")).strip() for name in FILE_VARIABLES]
    if not all(found):
        raise BadInput(
            f"There are no keys to the vendor's flat files: set {' and '.join(FILE_VARIABLES)}, or name an AWS secret that "
            "holds both in vendor.secret."
        )
    return KeyPair(*found)


def key_in_environment(variables: Sequence[str] = VARIABLES) -> str:
    """The first of these variables that is set; empty where none is."""
    values = (os.environ.get(name, "").strip() for name in variables)
    return next(filter(None, values), "")


def read_key(secret: str | None = None, variables: Sequence[str] = VARIABLES, section: str = "vendor") -> Key:
    """The key in the first of `variables` that is set, else in the AWS secret of that name (`secret` of the settings' section).

    The secret is the key itself, or a JSON object that holds it under the name of one of the variables. Raises BadInput where
    there is none, FailedDependency where AWS does not answer.
    """
    if value := key_in_environment(variables):
        return Key(value)
    if secret is None:
        raise BadInput(f"There is no API key: set {' or '.join(variables)}, or name an AWS secret in {section}.secret.")
    return Key(_key_in(_fetched(secret), secret, variables))


def _fetched(secret: str) -> str:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = boto3.client("secretsmanager", region_name=s3_region())
        return str(client.get_secret_value(SecretId=secret).get("SecretString", ""))
    except ClientError as error:
        said = error.response.get("Error", {}).get("Code", "no reason given")
        raise BadInput(f"AWS Secrets Manager does not give the secret {secret!r}: {said}.") from error
    except BotoCoreError as error:
        raise FailedDependency(f"AWS Secrets Manager cannot be asked for the secret {secret!r}: {error}") from error


def _key_in(text: str, secret: str, variables: Sequence[str]) -> str:
    if content := _object_in(text):
        text = next((str(content[name]) for name in variables if content.get(name)), "")
    if not text.strip():
        raise BadInput(
            f"The secret {secret!r} holds no key: it must be the key, or JSON with {' or '.join(variables)}."
        )
    return text.strip()


def _object_in(text: str) -> dict[str, object]:
    """The JSON object that a text is, empty where it is none."""
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
