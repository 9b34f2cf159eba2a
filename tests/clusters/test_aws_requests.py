"""What `ray up cluster.yaml` asks of AWS, by Ray's own AWS code against a simulated account."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.commands import ROOT

boto3 = pytest.importorskip("boto3", reason="`ray up` speaks to AWS through boto3")
moto = pytest.importorskip("moto")

from moto.backends import get_backend  # noqa: E402
from ray.autoscaler._private.aws import utils as ray_aws_utils  # noqa: E402
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider  # noqa: E402
from ray.autoscaler._private.util import prepare_config, validate_config  # noqa: E402
from ray.autoscaler.tags import (  # noqa: E402
    NODE_KIND_HEAD,
    NODE_KIND_WORKER,
    TAG_RAY_LAUNCH_CONFIG,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_STATUS,
    TAG_RAY_USER_NODE_TYPE,
)

REGION = "us-west-2"
HEAD = "head"
SIMULATED = {"iam": {"load_aws_managed_policies": True}}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An empty AWS account: a default VPC, and one image."""
    home = tmp_path_factory.mktemp("home")
    simulated = moto.mock_aws(config=SIMULATED)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        # The buckets of other tests lie in the same process: the rest of the account is emptied.
        simulated.start(reset=False)
        stack.callback(simulated.stop, remove_data=False)
        for service in ("ec2", "iam"):
            for everywhere in get_backend(service).values():
                everywhere.reset()
        patch.setenv("HOME", str(home))  # where Ray writes the private key
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        patch.delenv("AWS_PROFILE", raising=False)
        patch.setattr(time, "sleep", lambda seconds: None)  # Ray waits for IAM to spread
        _forget_clients()
        yield boto3.client("ec2", region_name=REGION)
        _forget_clients()


def _forget_clients() -> None:
    for cached in (ray_aws_utils.resource_cache, ray_aws_utils.client_cache):
        cached.cache_clear()


@pytest.fixture(scope="module")
def config(account: Any) -> dict[str, Any]:
    """cluster.yaml filled in, and completed by Ray as `ray up` does."""
    text = (ROOT / "cluster.yaml").read_text()
    image = account.describe_images()["Images"][0]["ImageId"]
    loaded = yaml.safe_load(text.replace("ami-FILL_IN", image))
    prepared = prepare_config(copy.deepcopy(loaded))
    validate_config(prepared)
    completed: dict[str, Any] = AWSNodeProvider.bootstrap_config(prepared)
    return completed


@pytest.fixture(scope="module")
def instances(account: Any, config: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What runs in the account after Ray launched every node, by node type."""
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    for name, kind in config["available_node_types"].items():
        node = copy.deepcopy(kind["node_config"])
        if name == HEAD:
            node.update(config["head_node"])
        tags = {
            TAG_RAY_NODE_KIND: NODE_KIND_HEAD if name == HEAD else NODE_KIND_WORKER,
            TAG_RAY_USER_NODE_TYPE: name,
            TAG_RAY_LAUNCH_CONFIG: "0",
            TAG_RAY_NODE_STATUS: "uninitialized",
        }
        for _ in range(1 if name == HEAD else kind["min_workers"]):
            provider.create_node(node, tags, 1)  # the simulation starts one a request
    found: dict[str, list[dict[str, Any]]] = {}
    for reservation in account.describe_instances()["Reservations"]:
        for instance in reservation["Instances"]:
            tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
            assert tags["ray-cluster-name"] == config["cluster_name"]
            found.setdefault(tags[TAG_RAY_USER_NODE_TYPE], []).append(instance)
    return found


def test_the_machines_are_those_of_the_file(instances: dict[str, list[dict[str, Any]]]) -> None:
    kinds = {name: {i["InstanceType"] for i in found} for name, found in instances.items()}
    assert kinds == {
        HEAD: {"m5.xlarge"}, "gpu_spot": {"g5.2xlarge"}, "gpu_on_demand": {"g5.2xlarge"},
        "cpu": {"m5.2xlarge"},
    }  # fmt: skip
    counts = {name: len(found) for name, found in instances.items()}
    assert counts == {HEAD: 1, "gpu_spot": 2, "gpu_on_demand": 1, "cpu": 1}


def test_spot_is_asked_for_gpu_spot_alone(instances: dict[str, list[dict[str, Any]]]) -> None:
    for name, found in instances.items():
        for instance in found:
            assert instance.get("InstanceLifecycle") == ("spot" if name == "gpu_spot" else None)


def test_the_head_alone_may_start_and_end_machines(
    instances: dict[str, list[dict[str, Any]]],
) -> None:
    for name, found in instances.items():
        for instance in found:
            profile = instance.get("IamInstanceProfile")
            assert (profile is not None) == (name == HEAD), name
            if profile:
                assert profile["Arn"].endswith("instance-profile/ray-autoscaler-v1")


def test_every_disk_is_encrypted_and_large_and_goes_with_its_machine(
    account: Any, instances: dict[str, list[dict[str, Any]]]
) -> None:
    for instance in (i for found in instances.values() for i in found):
        filters = [{"Name": "attachment.instance-id", "Values": [instance["InstanceId"]]}]
        (volume,) = account.describe_volumes(Filters=filters)["Volumes"]
        assert volume["Encrypted"]
        assert (volume["Size"], volume["VolumeType"]) == (150, "gp3")
        (disk,) = instance["BlockDeviceMappings"]
        assert disk["Ebs"]["DeleteOnTermination"]


def test_from_outside_the_security_group_only_ssh_is_admitted(
    account: Any, instances: dict[str, list[dict[str, Any]]]
) -> None:
    groups = {
        g["GroupId"] for found in instances.values() for i in found for g in i["SecurityGroups"]
    }
    (group,) = account.describe_security_groups(GroupIds=list(groups))["SecurityGroups"]
    for rule in group["IpPermissions"]:
        if rule["IpRanges"] or rule["Ipv6Ranges"]:
            assert (rule["FromPort"], rule["ToPort"], rule["IpProtocol"]) == (22, 22, "tcp")
        else:
            assert {pair["GroupId"] for pair in rule["UserIdGroupPairs"]} == groups


def test_the_private_key_is_its_owners_alone(config: dict[str, Any]) -> None:
    path = Path(config["auth"]["ssh_private_key"])
    assert path.stat().st_mode & 0o077 == 0
