"""Faults of a store: what is tried again, and what is told at once. The S3 server is moto's.

Not covered: faults on the way to it (`test_faulty_store`).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from fsspec.implementations.local import LocalFileSystem
from s3fs.errors import translate_boto_error

from tasks import conditional, listing, storage
from tasks.storage import StorageError
from tests.tasks.night import without_pauses


def failing(times: int, error: Exception) -> tuple[Callable[[], str], list[int]]:
    """A call that fails so many times, and the list of its calls."""
    calls: list[int] = []

    def call() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "done"

    return call, calls


@pytest.mark.parametrize("error", [OSError("reset"), TimeoutError("slow"), ConnectionError("refused")])
def test_faults_that_pass_are_retried(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    without_pauses(monkeypatch)
    call, calls = failing(storage.ATTEMPTS - 1, error)
    assert storage.retry(call, "s3://mine/a") == "done"
    assert len(calls) == storage.ATTEMPTS


def test_pauses_grow_and_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("tasks.storage.time.sleep", pauses.append)
    monkeypatch.setattr("tasks.storage.random.uniform", lambda _, high: high)
    call, _ = failing(storage.ATTEMPTS, OSError("reset"))
    with pytest.raises(StorageError):
        storage.retry(call, "s3://mine/a")
    assert pauses == [2 * storage.FIRST_DELAY_S * 2**k for k in range(storage.ATTEMPTS - 1)]


def test_a_fault_that_stays_names_url_and_count(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pauses(monkeypatch)
    call, calls = failing(99, OSError("connection reset by peer"))
    with pytest.raises(StorageError, match=r"s3://mine/a: failed 8 times.*connection reset by peer") as caught:
        storage.retry(call, "s3://mine/a")
    assert len(calls) == storage.ATTEMPTS
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("error", [FileNotFoundError("a"), PermissionError("a"), ValueError("a"), KeyError("a")])
def test_what_waiting_would_not_mend_is_raised_at_once(error: Exception) -> None:
    call, calls = failing(99, error)
    with pytest.raises(type(error)):
        storage.retry(call, "s3://mine/a")
    assert len(calls) == 1


def test_a_refusal_names_the_url() -> None:
    call, _ = failing(1, PermissionError("Access Denied"))
    with pytest.raises(PermissionError, match="s3://mine/a: Access Denied; check the rights"):
        storage.retry(call, "s3://mine/a")


def test_the_s3_clients_own_errors_are_retried_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pauses(monkeypatch)
    call, calls = failing(2, EndpointConnectionError(endpoint_url="http://127.0.0.1:1"))
    assert storage.retry(call, "s3://mine/a") == "done"
    assert len(calls) == 3


@pytest.fixture
def as_somebody(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Take the credentials away, or put others in their place; gives the bucket. No call may wait."""

    def become(**variables: str) -> str:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        storage.forget()
        return bucket

    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("tasks.storage.time.sleep", lambda _: pytest.fail("it waited"))
    yield become
    storage.forget()


CALLS: list[Callable[[str], object]] = [
    storage.read,
    storage.exists,
    storage.remove,
    storage.open_seekable,
    listing.names,
    lambda url: storage.write(url, b"1"),
    lambda url: conditional.create(url, b"1"),
    lambda url: list(listing.find(url)),
]


@pytest.mark.parametrize(
    ("variables", "cause"),
    [
        ({}, "Unable to locate credentials"),
        ({"AWS_ACCESS_KEY_ID": "half"}, "Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY"),
        ({"AWS_PROFILE": "nobody"}, r"The config profile \(nobody\) could not be found"),
    ],
    ids=["none", "half", "no such profile"],
)
def test_credentials_that_are_missing_are_told_at_once(
    as_somebody: Callable[..., str], variables: dict[str, str], cause: str
) -> None:
    bucket = as_somebody(**variables)
    for call in CALLS:
        with pytest.raises(PermissionError, match=rf"^{bucket}/a: {cause}; set AWS_ACCESS_KEY_ID and AWS_SECRET"):
            call(f"{bucket}/a")


def test_credentials_that_are_refused_are_told_at_once(
    as_somebody: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = boto3.client("iam").create_user(UserName="li")["User"]["UserName"]
    key = boto3.client("iam").create_access_key(UserName=user)["AccessKey"]["AccessKeyId"]
    monkeypatch.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", 0)  # from here on the server looks at them
    for own, code in (("nobodys", "InvalidAccessKeyId"), (key, "SignatureDoesNotMatch")):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", own)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        bucket = as_somebody(AWS_ACCESS_KEY_ID=own, AWS_SECRET_ACCESS_KEY="wrong")
        with pytest.raises(PermissionError, match=rf"^{bucket}/a: .*\({code}\).*; check the rights of this user"):
            storage.write(f"{bucket}/a", b"1")
        for call in CALLS:
            with pytest.raises(PermissionError, match=rf"^{bucket}/a: [^;]*; check the rights of this user or key$"):
                call(f"{bucket}/a")


def test_a_refusal_whose_code_the_client_does_not_know_is_told_at_once() -> None:
    answer = ClientError(
        {"Error": {"Code": "InvalidTokenId"}, "ResponseMetadata": {"HTTPStatusCode": 403}},  # type: ignore[typeddict-item]
        "PutObject",
    )
    call, calls = failing(99, translate_boto_error(answer))
    with pytest.raises(PermissionError, match=r"s3://mine/a: .*\(InvalidTokenId\).*; check the rights"):
        storage.retry(call, "s3://mine/a")
    assert len(calls) == 1


def test_a_store_that_takes_no_writes_is_told_at_once() -> None:
    call, calls = failing(99, OSError(errno.EROFS, "Read-only file system"))
    with pytest.raises(StorageError, match=r"/store/a: .*Read-only file system; name another place"):
        storage.retry(call, "/store/a")
    assert len(calls) == 1


def test_a_fault_is_not_taken_for_an_object_that_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    url = storage.normalise(str(folder / "a"))
    storage.write(url, b"1")
    without_pauses(monkeypatch)
    monkeypatch.setattr(LocalFileSystem, "info", fault)
    with pytest.raises(StorageError, match="Input/output error"):
        storage.exists(url)


def test_a_server_that_is_down_gives_a_storage_error(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_pauses(monkeypatch)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        storage.filesystem(bucket)[0].clear_instance_cache()
        try:
            with pytest.raises(StorageError, match="s3://mine/a: failed 8 times"):
                storage.read(f"{bucket}/a")
            with pytest.raises(StorageError, match="s3://mine: failed 8 times"):
                storage.exists(bucket)
        finally:
            storage.filesystem(bucket)[0].clear_instance_cache()


def test_an_endpoint_without_its_scheme_is_told_at_once_with_how_to_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ENDPOINT_URL": "localhost:9000", "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    storage.forget()
    monkeypatch.setattr("tasks.storage.time.sleep", lambda _: pytest.fail("it waited"))
    told = r"^s3://mine/a: Invalid endpoint: localhost:9000; write AWS_ENDPOINT_URL, .* as http://HOST:PORT or https"
    with pytest.raises(StorageError, match=told):
        storage.read("s3://mine/a")
    storage.forget()
