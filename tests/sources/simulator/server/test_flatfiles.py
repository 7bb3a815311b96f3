"""The bucket: by boto3 and by pyarrow, unchanged, and by hand where both hide it."""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, IncompleteReadError, ResponseStreamingError
from pyarrow import fs

from smallcaps.sources.polygon.flatfiles import list_files
from smallcaps.sources.simulator.server import ACCESS_KEY, Faults, Place, running
from tests.sources.simulator.server.asking import Asking
from tests.sources.simulator.server.market import KEY, MONDAY, THURSDAY, flat_file

TRADES = "us_stocks_sip/trades_v1/2026/06/2026-06-08.csv.gz"


def client(place: Place, access_key: str = ACCESS_KEY) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=place.origin,
        aws_access_key_id=access_key,
        aws_secret_access_key="not verified",
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )


def test_boto3_lists_by_prefix_page_and_folder(vendor: Place) -> None:
    s3 = client(vendor)
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="flatfiles", Prefix="us_stocks_sip/trades_v1/2026/", PaginationConfig={"PageSize": 2}
    )
    assert [[item["Key"][-17:] for item in page["Contents"]] for page in pages] == [
        ["2026-06-04.csv.gz", "2026-06-05.csv.gz"],
        ["2026-06-08.csv.gz"],
    ]
    folders = s3.list_objects_v2(Bucket="flatfiles", Prefix="us_stocks_sip/", Delimiter="/")
    assert [one["Prefix"] for one in folders["CommonPrefixes"]] == [
        "us_stocks_sip/day_aggs_v1/",
        "us_stocks_sip/trades_v1/",
    ]
    assert s3.list_objects_v2(Bucket="flatfiles", Prefix="nothing")["KeyCount"] == 0


def test_boto3_reads_an_object_whole_and_in_part(vendor: Place, market: Path) -> None:
    s3, content = client(vendor), flat_file(market, "trades_v1", MONDAY).read_bytes()
    head = s3.head_object(Bucket="flatfiles", Key=TRADES)
    assert head["ContentLength"] == len(content)
    assert head["ETag"] == f'"{hashlib.md5(content).hexdigest()}"'
    assert head["Metadata"] == {"entitlement-data-type": "trades"}
    (listed,) = s3.list_objects_v2(Bucket="flatfiles", Prefix=TRADES)["Contents"]
    assert (listed["ETag"], listed["Size"], listed["LastModified"]) == (
        head["ETag"],
        len(content),
        head["LastModified"],
    )
    assert s3.get_object(Bucket="flatfiles", Key=TRADES)["Body"].read() == content
    part = s3.get_object(Bucket="flatfiles", Key=TRADES, Range="bytes=5-9", IfMatch=head["ETag"])
    assert (part["Body"].read(), part["ContentRange"]) == (content[5:10], f"bytes 5-9/{len(content)}")
    assert s3.get_object(Bucket="flatfiles", Key=TRADES, Range="bytes=-4")["Body"].read() == content[-4:]


@pytest.mark.parametrize(
    ("call", "arguments", "code"),
    [
        ("get_object", {"Key": "us_stocks_sip/trades_v1/2026/06/2026-06-07.csv.gz"}, "NoSuchKey"),
        ("get_object", {"Key": "settings.json"}, "NoSuchKey"),
        ("get_object", {"Key": "us_stocks_sip/../reference/news.jsonl"}, "NoSuchKey"),
        ("get_object", {"Key": TRADES, "IfMatch": '"other"'}, "PreconditionFailed"),
        ("get_object", {"Key": TRADES, "Range": "bytes=99999999-"}, "InvalidRange"),
        ("head_object", {"Key": "us_stocks_sip/none"}, "404"),
    ],
)
def test_boto3_understands_the_errors(vendor: Place, call: str, arguments: dict[str, str], code: str) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(client(vendor), call)(Bucket="flatfiles", **arguments)
    assert caught.value.response["Error"]["Code"] == code


def test_another_access_key_is_refused(vendor: Place) -> None:
    with pytest.raises(ClientError) as caught:
        client(vendor, "someone").list_objects_v2(Bucket="flatfiles")
    assert caught.value.response["Error"]["Code"] == "InvalidAccessKeyId"
    answer = Asking(vendor.origin).answer("/flatfiles?list-type=2")  # The REST key opens no bucket.
    assert (answer.status, b"AccessDenied" in answer.data) == (403, True)


def test_boto3_downloads_a_large_object_by_ranges(market: Path, tmp_path: Path) -> None:
    folder = tmp_path / "market"
    folder.mkdir()
    (folder / "tape").symlink_to(market / "tape")
    (folder / "reference").symlink_to(market / "reference")
    path = flat_file(folder, "quotes_v1", MONDAY)
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(range(256)) * (20 << 12))  # 20 MiB: three ranged GETs
    with running(folder, KEY) as place:
        client(place).download_file(
            "flatfiles", f"us_stocks_sip/quotes_v1/2026/06/{MONDAY}.csv.gz", str(tmp_path / "got")
        )
    assert (tmp_path / "got").read_bytes() == path.read_bytes()


def test_pyarrow_lists_and_reads(vendor: Place, market: Path) -> None:
    s3 = fs.S3FileSystem(
        access_key=ACCESS_KEY,
        secret_key="not verified",
        endpoint_override=vendor.feed,
        scheme="http",
        region="us-east-1",
    )
    files = list_files(s3, "flatfiles", ("day_aggs_v1", "trades_v1"), THURSDAY, MONDAY)
    assert [(file.kind, file.session_date.day) for file in files] == [
        *(("day_aggs_v1", day) for day in (4, 5, 8)),
        *(("trades_v1", day) for day in (4, 5, 8)),
    ]
    with s3.open_input_stream(files[-1].path, compression=None) as stream:
        assert stream.read() == flat_file(market, "trades_v1", MONDAY).read_bytes()


def test_what_the_vendor_has_not_lies_under_a_prefix_of_its_own(market: Path, tmp_path: Path) -> None:
    folder = tmp_path / "market"
    folder.mkdir()
    for name in ("tape", "reference", "us_stocks_sip"):
        (folder / name).symlink_to(market / name)
    own = folder / "smallcaps" / "book_v1" / "2026" / "06" / f"{MONDAY}.csv.gz"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"a book")
    with running(folder, KEY) as place:
        s3 = client(place)
        listed = s3.list_objects_v2(Bucket="flatfiles", Prefix="smallcaps/")["Contents"]
        assert [one["Key"] for one in listed] == [f"smallcaps/book_v1/2026/06/{MONDAY}.csv.gz"]
        assert s3.get_object(Bucket="flatfiles", Key=listed[0]["Key"])["Body"].read() == b"a book"
        folders = s3.list_objects_v2(Bucket="flatfiles", Delimiter="/")["CommonPrefixes"]
        assert [one["Prefix"] for one in folders] == ["smallcaps/", "us_stocks_sip/"]


def test_what_was_read_is_in_the_account(market: Path) -> None:
    with running(market, KEY) as place:
        s3 = client(place)
        s3.list_objects_v2(Bucket="flatfiles")
        for _ in range(2):
            s3.get_object(Bucket="flatfiles", Key=TRADES)["Body"].read()
        asking = Asking(place.origin)
        assert asking.served("s3://flatfiles/trades_v1") == {"requests": 2, "bodies": 2, "records": 2, "distinct": 1}
        assert asking.served("s3://flatfiles")["records"] == 6


def test_a_ranged_get_is_forbidden_now_and_then(market: Path) -> None:
    with running(market, KEY, faults=Faults(range_forbidden_every=2)) as place:
        s3 = client(place)
        assert (
            s3.get_object(Bucket="flatfiles", Key=TRADES, Range="bytes=0-1")["ResponseMetadata"]["HTTPStatusCode"]
            == 206
        )
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.get_object(Bucket="flatfiles", Key=TRADES, Range="bytes=0-1")
        assert s3.get_object(Bucket="flatfiles", Key=TRADES)["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_truncated_object_is_half_there(market: Path) -> None:
    content = flat_file(market, "trades_v1", MONDAY).read_bytes()
    with running(market, KEY, faults=Faults(truncate="trades_v1/2026/06/2026-06-08")) as place:
        body = client(place).get_object(Bucket="flatfiles", Key=TRADES)["Body"].read()
    assert body == content[: len(content) // 2]
    with pytest.raises(EOFError):
        gzip.decompress(body)


def test_a_get_that_is_cut_is_noticed(market: Path) -> None:
    with running(market, KEY, faults=Faults(object_cut_every=2)) as place:
        s3 = client(place)
        s3.get_object(Bucket="flatfiles", Key=TRADES)["Body"].read()
        with pytest.raises((IncompleteReadError, ResponseStreamingError)):
            s3.get_object(Bucket="flatfiles", Key=TRADES)["Body"].read()


def test_a_republished_object_has_another_etag_and_size_and_the_same_rows(market: Path) -> None:
    with running(market, KEY, faults=Faults(republish="trades_v1", republish_after=1)) as place:
        s3 = client(place)
        old = s3.head_object(Bucket="flatfiles", Key=TRADES)
        before = s3.get_object(Bucket="flatfiles", Key=TRADES)["Body"].read()
        s3.list_objects_v2(Bucket="flatfiles")
        new = s3.head_object(Bucket="flatfiles", Key=TRADES)
        after = s3.get_object(Bucket="flatfiles", Key=TRADES)["Body"].read()
        with pytest.raises(ClientError, match="PreconditionFailed"):
            s3.get_object(Bucket="flatfiles", Key=TRADES, IfMatch=old["ETag"])
    assert (old["ETag"] != new["ETag"], new["ContentLength"] > old["ContentLength"]) == (True, True)
    assert gzip.decompress(before) == gzip.decompress(after)
