"""The dev environment, made on a server that speaks AWS's protocols (moto's), and used: buckets, catalog, tables, roles.

EMR, Kafka, Airflow and budgets are not: the server has them in part or not at all. test_configuration.py plans them.
"""

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import deltalake
import pyarrow as pa
import pytest
from botocore.exceptions import ClientError
from moto.iam.access_control import IAMPolicy, PermissionResult
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.detectors.detect import detect
from smallcaps.ingest.flatfiles import ingest_flatfiles
from smallcaps.labels.barriers import label_events
from smallcaps.lake import REGISTRY, Lake, declared
from smallcaps.lake.access import ROLES, Role
from smallcaps.lake.files import storage_options
from smallcaps.platform.aws import open_bucket
from smallcaps.platform.demo import VENDOR_SECRET, Platform, platform
from smallcaps.platform.faults import KILLED_AT_WORK, Faults
from smallcaps.platform.readers import read_back
from smallcaps.refine.job import refine
from smallcaps.sources.polygon.bucket import Folder
from smallcaps.sources.simulator.layout import tape_days
from tests.conftest import REPOSITORY
from tests.terraform.cli import LOCAL_PARTS, Terraform

pytestmark = pytest.mark.slow

ARROW = {
    "string": pa.string(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "double": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "decimal(18,6)": pa.decimal128(18, 6),
    "decimal(20,6)": pa.decimal128(20, 6),
}
"""Types as Glue spells them."""
DAGS = REPOSITORY / "tests" / "airflow" / "dags"
TABLES = ("silver.calendar", "silver.securities", "silver.bars_1d", "silver.bars_1m")
"""What the reduced DAG refines."""


@dataclass(frozen=True)
class Applied:
    """What was made, and how to reach it."""

    terraform: Terraform
    environment: dict[str, str]
    outputs: dict[str, Any]

    def client(self, service: str, **keys: str) -> Any:
        """A client of the server, with keys of its own if need be."""
        credentials = {
            "aws_access_key_id": self.environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.environment["AWS_SECRET_ACCESS_KEY"],
        }
        return boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name=self.environment["AWS_REGION"],
            **{**credentials, **keys},
        )

    def role_name(self, role: Role) -> str:
        """The name of a role."""
        return self.outputs["role_arns"][role.jobs[0]].split("/")[-1]

    def policy(self, role: Role) -> IAMPolicy:
        """What a role may do, as it was stored."""
        iam, name = self.client("iam"), self.role_name(role)
        assert iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] == []
        [policy] = iam.list_role_policies(RoleName=name)["PolicyNames"]
        document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        assert len(json.dumps(document, separators=(",", ":"))) < 10_240, "IAM takes no more"
        return IAMPolicy(json.dumps(document))

    def location(self, name: str) -> str:
        """Where Glue says that a table lies."""
        table = declared(name)
        database = self.outputs["databases"][table.layer]
        found = self.client("glue").get_table(DatabaseName=database, Name=name.split(".")[1])["Table"]
        return str(found["StorageDescriptor"]["Location"])


@pytest.fixture(scope="module")
def made(simulated_market: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The environment dev, applied once, with a cluster and Airflow that run jobs on its lake."""
    with platform(tmp_path_factory.mktemp("applied"), settings.cache, simulated_market, DAGS, print) as found:
        yield found


@pytest.fixture(scope="module")
def applied(made: Platform) -> Applied:
    return Applied(made.terraform, made.environment, made.outputs)


@pytest.fixture
def lake(applied: Applied) -> Iterator[str]:
    """The lake's bucket, without its policy."""
    with open_bucket(applied.outputs):
        yield applied.outputs["buckets"]["lake"]


def test_a_second_plan_is_empty(applied: Applied) -> None:
    applied.terraform.run("plan", "-detailed-exitcode", "-input=false", *LOCAL_PARTS)


@pytest.mark.usefixtures("lake")
def test_a_dag_fills_the_lake_whoever_is_killed_and_other_engines_read_it_where_glue_points(
    made: Platform, applied: Applied, simulated_market: Path, settings: Settings, spark: SparkSession, tmp_path: Path
) -> None:
    assert ",".join(TABLES) in (DAGS / "reduced.py").read_text()
    day = tape_days(simulated_market, "trades")[-1]
    faults = Faults(made.cluster, made.outputs["lake"])
    state = made.airflow.run("reduced", {"day": f"{day}"}, faults.look)

    # One job fails for good, at once; the driver that was killed is tried again; of the others Airflow notices nothing.
    assert (state, sorted(faults.done)) == ("failed", sorted(KILLED_AT_WORK))
    assert made.airflow.tasks("reduced") == {
        **dict.fromkeys(("session", "ingest_flatfiles", "refine", "detect_intraday"), ("success", 1)),
        "label": ("success", 2),
        "quality": ("failed", 1),
    }
    found = {one.table: one for one in read_back(made.outputs["databases"])}
    assert all(one.agree for one in found.values()), found
    assert found["gold.events"].rows["DuckDB"] > 0
    said = "".join(log.read_text() for log in made.airflow.folder.rglob("*.log"))
    assert "ingest_flatfiles.py" in said
    assert VENDOR_SECRET not in said

    # The same steps without a cluster, S3 or anybody killed.
    other = Lake(str(tmp_path / "lake"), spark)
    ingest_flatfiles(other, settings, Folder(str(simulated_market)), ["day_aggs_v1", "minute_aggs_v1"], day, day)
    refine(other, settings, day, day, TABLES)
    detect(other, settings, "minute", day, day)
    label_events(other, settings, day, day)
    for name in (*TABLES, "gold.events", "gold.event_labels"):
        location = applied.location(name)
        stored = deltalake.DeltaTable(location, storage_options=storage_options(location)).to_pyarrow_table()
        assert content(stored) == content(other.read(name).toArrow()), name


def content(rows: pa.Table) -> list[str]:
    """Rows in an order of their own, without the run that wrote them."""
    return sorted(str(sorted(row.items())) for row in rows.drop_columns("run_id").to_pylist())


def test_buckets_are_private_versioned_and_encrypted(applied: Applied) -> None:
    s3 = applied.client("s3")
    assert {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]} == {*applied.outputs["buckets"].values()}
    for purpose, bucket in applied.outputs["buckets"].items():
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
        [rule] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        algorithm = rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]
        assert algorithm == ("AES256" if purpose == "logs" else "aws:kms")
        statements = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        assert statements[0]["Effect"] == "Deny"
        assert statements[0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        rules = {one["ID"]: one for one in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
        assert rules["left-behind"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
        assert ("raw-to-the-archive" in rules) == (purpose == "lake")
        assert ("out-of-date" in rules) == (purpose in {"results", "logs"})


def test_the_key_turns_and_secrets_are_empty(applied: Applied) -> None:
    kms, secrets = applied.client("kms"), applied.client("secretsmanager")
    [alias] = [one for one in kms.list_aliases()["Aliases"] if one["AliasName"] == "alias/smallcaps-dev"]
    assert kms.get_key_rotation_status(KeyId=alias["TargetKeyId"])["KeyRotationEnabled"]
    names = [one["Name"] for one in secrets.list_secrets()["SecretList"]]
    assert sorted(names) == ["smallcaps-dev/fred", "smallcaps-dev/vendor"]
    for name in names:
        with pytest.raises(ClientError, match="can't find the specified secret value"):
            secrets.get_secret_value(SecretId=name)


def test_queries_are_limited_and_people_are_told(applied: Applied) -> None:
    group = applied.client("athena").get_work_group(WorkGroup=applied.outputs["workgroup"])["WorkGroup"][
        "Configuration"
    ]
    assert group["EnforceWorkGroupConfiguration"]
    assert group["BytesScannedCutoffPerQuery"] == 10_000_000_000
    assert group["ResultConfiguration"]["EncryptionConfiguration"]["EncryptionOption"] == "SSE_KMS"
    [alarm] = applied.client("cloudwatch").describe_alarms()["MetricAlarms"]
    [topic] = applied.client("sns").list_topics()["Topics"]
    assert alarm["AlarmActions"] == [topic["TopicArn"]]
    targets = applied.client("events").list_targets_by_rule(Rule="smallcaps-dev-failed-jobs")["Targets"]
    assert [target["Arn"] for target in targets] == [topic["TopicArn"]]


def test_s3_is_reached_within_the_network_and_subnets_are_private(applied: Applied) -> None:
    ec2 = applied.client("ec2")
    [endpoint] = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    assert endpoint["ServiceName"].endswith(".s3")
    tables = ec2.describe_route_tables(RouteTableIds=endpoint["RouteTableIds"])["RouteTables"]
    assert len([one for table in tables for one in table["Associations"] if one.get("SubnetId")]) == 2
    assert not [route for table in tables for route in table["Routes"] if route.get("GatewayId", "").startswith("igw")]


def test_glue_has_every_table_as_it_is_declared(applied: Applied) -> None:
    glue, found = applied.client("glue"), {}
    for layer, database in applied.outputs["databases"].items():
        for page in glue.get_paginator("get_tables").paginate(DatabaseName=database):
            found |= {f"{layer}.{table['Name']}": table for table in page["TableList"]}
    assert found.keys() == REGISTRY.keys()
    for name, table in found.items():
        declaration = declared(name)
        held = [*table["StorageDescriptor"]["Columns"], *table.get("PartitionKeys", [])]
        columns = sorted(declaration.all_columns, key=lambda column: column.name in declaration.partition_by)
        assert [(one["Name"], one["Type"], one["Comment"]) for one in held] == [
            (column.name, column.type, column.described) for column in columns
        ]
        assert table["TableType"] == "EXTERNAL_TABLE"
        assert table["Parameters"]["table_type"] == "DELTA"
        assert table["Parameters"]["spark.sql.sources.provider"] == "delta"
        assert table["StorageDescriptor"]["Location"] == f"s3://{applied.outputs['buckets']['lake']}/{declaration.path}"


@pytest.mark.usefixtures("lake")
@pytest.mark.parametrize("name", ["silver.baselines", "silver.quotes"])
def test_a_table_written_where_jobs_write_it_is_read_where_glue_points(applied: Applied, name: str) -> None:
    table = declared(name)
    day = date(2016, 5, 26)
    fields = [pa.field(column.name, ARROW[column.type]) for column in table.all_columns]
    values = {column.name: [day if column.type == "date" else None] for column in table.all_columns}
    rows = pa.Table.from_pydict(values, schema=pa.schema(fields))
    # As Lake.location has it, and conf/aws.yaml: SMALLCAPS_LAKE is the output `lake`.
    written = f"{applied.outputs['lake']}/{table.path}"
    deltalake.write_deltalake(
        written, rows, partition_by=[*table.partition_by], storage_options=storage_options(written), name=name
    )
    location = applied.location(name)
    stored = deltalake.DeltaTable(location, storage_options=storage_options(location))
    assert stored.metadata().partition_columns == [*table.partition_by]
    assert stored.to_pyarrow_table().to_pylist() == rows.to_pylist()


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.room)
def test_a_role_touches_its_own_tables_and_no_others(applied: Applied, role: Role) -> None:
    policy, lake = applied.policy(role), f"arn:aws:s3:::{applied.outputs['buckets']['lake']}"

    def may(action: str, resource: str) -> bool:
        return policy.is_action_permitted(action, resource) is PermissionResult.PERMITTED

    for name, table in REGISTRY.items():
        for file in (
            "part-0.parquet",
            "session_date=2016-05-26/part-0.parquet",
            "_delta_log/00000000000000000000.json",
        ):
            place = f"{lake}/{table.path}/{file}"
            assert may("s3:GetObject", place) == (name in role.reads), place
            assert may("s3:PutObject", place) == (name in role.writes), place
            assert may("s3:DeleteObject", place) == (name in role.writes), place
            assert not may("s3:DeleteObjectVersion", place), place
    for action in ("s3:DeleteBucket", "s3:PutBucketPolicy", "s3:PutLifecycleConfiguration", "s3:PutBucketVersioning"):
        assert not may(action, lake)
    raw = f"{lake}/raw/us_stocks_sip/day_aggs_v1/2016/05/2016-05-26.csv.gz"
    assert may("s3:PutObject", raw) == may("s3:DeleteObject", f"{raw}.part") == (role.room == "ingest")
    assert not may("s3:DeleteObject", raw)
    secret = applied.client("secretsmanager").describe_secret(SecretId="smallcaps-dev/vendor")["ARN"]
    assert may("secretsmanager:GetSecretValue", secret) == (role.room == "ingest")
    topic = "arn:aws:kafka:us-east-1:123456789012:topic/smallcaps-dev/0a1b/alerts"
    assert may("kafka-cluster:WriteData", topic) == (role.room == "streaming")
    for action in ("iam:PassRole", "sts:AssumeRole", "glue:DeleteTable", "kms:ScheduleKeyDeletion"):
        assert not may(action, "*")


def test_roles_are_for_emr_serverless_of_this_account(applied: Applied) -> None:
    iam = applied.client("iam")
    for role in ROLES:
        [statement] = iam.get_role(RoleName=applied.role_name(role))["Role"]["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "emr-serverless.amazonaws.com"}
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}


def test_the_server_refuses_what_a_role_may_not(applied: Applied, lake: str) -> None:
    """The same once more with keys of the roles, at the door."""
    silver, bronze = "silver/calendar/part-0.parquet", "bronze/bars_1d/part-0.parquet"
    for key in (silver, bronze):
        applied.client("s3").put_object(Bucket=lake, Key=key, Body=b"rows")
    doors = {
        room: _as(applied, f"arn:aws:iam::123456789012:role/smallcaps-dev-{room}") for room in ("refine", "labels")
    }
    _guard(applied, "0")
    try:
        labels, refine = doors["labels"], doors["refine"]
        assert labels.get_object(Bucket=lake, Key=silver)["Body"].read() == b"rows"
        for refused in (
            lambda: labels.put_object(Bucket=lake, Key=silver, Body=b"other rows"),
            lambda: labels.delete_object(Bucket=lake, Key=silver),
            lambda: labels.get_object(Bucket=lake, Key=bronze),
            lambda: refine.delete_object(Bucket=lake, Key=bronze),
        ):
            with pytest.raises(ClientError, match=r"AccessDenied|Forbidden"):
                refused()
        refine.put_object(Bucket=lake, Key=silver, Body=b"other rows")
        assert refine.get_object(Bucket=lake, Key=silver)["Body"].read() == b"other rows"
        refine.delete_object(Bucket=lake, Key=silver)
    finally:
        _guard(applied, "inf")


def _as(applied: Applied, role: str) -> Any:
    """A client of S3 with keys of a role."""
    keys = applied.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return applied.client(
        "s3",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def _guard(applied: Applied, unguarded: str) -> None:
    """Let so many calls pass without a look at who makes them."""
    address = f"{applied.environment['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
    request = urllib.request.Request(address, unguarded.encode(), {"Content-Type": "text/plain"}, method="POST")
    urllib.request.urlopen(request).close()
