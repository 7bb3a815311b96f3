"""Where the key comes from, and that it is not shown."""

import json
from collections.abc import Iterator

import boto3
import pytest

from smallcaps.errors import BadInput, FailedDependency
from smallcaps.platform.aws import aws_server
from smallcaps.sources.polygon.credentials import FRED_VARIABLES, VARIABLES, Key, read_key

SECRETS = {
    "plain": "key-in-plain",
    "digits": "123456",
    "json": json.dumps({"MASSIVE_API_KEY": "key-in-json"}),
    "empty": " ",
    "other": json.dumps({"PASSWORD": "x"}),
}


@pytest.fixture(scope="module")
def aws() -> Iterator[dict[str, str]]:
    """The environment of a secrets manager (moto's) that holds SECRETS."""
    with aws_server() as environment:
        client = boto3.client(
            "secretsmanager",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            region_name=environment["AWS_REGION"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )
        for name, value in SECRETS.items():
            client.create_secret(Name=name, SecretString=value)
        yield environment


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, *FRED_VARIABLES):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "key"),
    [
        ({"POLYGON_API_KEY": "p"}, "p"),
        ({"MASSIVE_API_KEY": "m"}, "m"),
        ({"POLYGON_API_KEY": "p", "MASSIVE_API_KEY": "m"}, "p"),
        ({"POLYGON_API_KEY": " ", "MASSIVE_API_KEY": "m\n"}, "m"),
    ],
)
def test_the_environment_has_the_key(variables: dict[str, str], key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert read_key("a secret that is not asked for").value == key


def test_without_a_key_and_a_secret_it_says_what_to_set() -> None:
    with pytest.raises(BadInput, match=r"POLYGON_API_KEY or MASSIVE_API_KEY.*vendor\.secret"):
        read_key()


def test_another_services_key_is_in_its_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGON_API_KEY", "p")
    with pytest.raises(BadInput, match=r"set FRED_API_KEY, or name an AWS secret in fred\.secret"):
        read_key(None, FRED_VARIABLES, "fred")
    monkeypatch.setenv("FRED_API_KEY", "f")
    assert read_key(None, FRED_VARIABLES, "fred").value == "f"


def test_a_key_is_not_shown() -> None:
    key = Key("the-key-itself")
    assert "the-key-itself" not in f"{key} {key!r} {[key]}"


@pytest.mark.parametrize(("secret", "key"), [("plain", "key-in-plain"), ("digits", "123456"), ("json", "key-in-json")])
def test_a_secret_is_the_key_or_json_that_holds_it(
    secret: str, key: str, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    assert read_key(secret).value == key


@pytest.mark.parametrize(
    ("secret", "words"),
    [("absent", "ResourceNotFoundException"), ("empty", "holds no key"), ("other", "holds no key")],
)
def test_a_secret_that_gives_no_key_is_bad_input(
    secret: str, words: str, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadInput, match=words) as error:
        read_key(secret)
    assert not any(value.strip() and value in str(error.value) for value in SECRETS.values())


def test_a_secrets_manager_that_does_not_answer_is_a_failed_dependency(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(FailedDependency, match="cannot be asked for the secret 'plain'"):
        read_key("plain")
