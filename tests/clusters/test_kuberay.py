"""kuberay.yaml against the documented fields of KubeRay's RayJob; nothing here needs Kubernetes."""

from __future__ import annotations

import copy
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
import yaml

from lussweep.backend.cluster.environment import ENVIRONMENT
from lussweep.backend.kept import KEPT
from lussweep.cli.app import app
from support.commands import ROOT, STANDING

FILE = ROOT / "experiments" / "clusters" / "kuberay.yaml"
SCHEMA = json.loads((Path(__file__).parent / "rayjob-1.6.2.json").read_text())
RAY = "2.60.0"


@pytest.fixture
def job() -> dict[str, Any]:
    found, _ = yaml.safe_load_all(FILE.read_text())
    return copy.deepcopy(found)


@pytest.fixture
def cluster(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job["spec"]["rayClusterSpec"]
    return found


def templates(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [job["spec"]["submitterPodTemplate"], *(group["template"] for group in groups)]


def containers(job: dict[str, Any]) -> list[dict[str, Any]]:
    return [c for template in templates(job) for c in template["spec"]["containers"]]


def test_has_only_documented_fields(job: dict[str, Any]) -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(job, SCHEMA)


def _misspell_auth(job: dict[str, Any]) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    cluster["authOption"] = cluster.pop("authOptions")


def _auth_in_the_job(job: dict[str, Any]) -> None:
    job["spec"]["authOptions"] = job["spec"]["rayClusterSpec"].pop("authOptions")


def _other_mode(job: dict[str, Any]) -> None:
    job["spec"]["rayClusterSpec"]["authOptions"]["mode"] = "tokens"


def _number_to_ray_start(job: dict[str, Any]) -> None:
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0


def _misspell_in_a_pod(job: dict[str, Any]) -> None:
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["toleration"] = []


def _misspell_in_a_container(job: dict[str, Any]) -> None:
    containers(job)[1]["volumeMount"] = []


def _number_of_gpus(job: dict[str, Any]) -> None:
    containers(job)[2]["resources"]["limits"]["nvidia.com/gpu"] = 1


@pytest.mark.parametrize(
    "damage",
    [
        _misspell_auth, _auth_in_the_job, _other_mode, _number_to_ray_start, _misspell_in_a_pod,
        _misspell_in_a_container, _number_of_gpus,
    ],
)  # fmt: skip
def test_a_broken_copy_fails(job: dict[str, Any], damage: Callable[[dict[str, Any]], None]) -> None:
    damage(job)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(job, SCHEMA)


def test_is_closed_by_a_token(cluster: dict[str, Any]) -> None:
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == RAY
    assert "RAY_AUTH_" not in json.dumps(cluster)  # the operator's, from its Secret


def test_only_named_ports_are_served_and_nothing_outside(cluster: dict[str, Any]) -> None:
    head = cluster["headGroupSpec"]
    (container,) = head["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"gcs-server": 6379, "dashboard": 8265}  # not Ray's client, 10001
    assert head["serviceType"] == "ClusterIP"
    assert head["enableIngress"] is False


def test_the_network_policy_covers_every_pod_of_the_run(job: dict[str, Any]) -> None:
    _, policy = yaml.safe_load_all(FILE.read_text())
    assert (policy["apiVersion"], policy["kind"]) == ("networking.k8s.io/v1", "NetworkPolicy")
    label = policy["spec"]["podSelector"]["matchLabels"]
    for template in templates(job):
        assert label.items() <= template["metadata"]["labels"].items()
    (rule,) = policy["spec"]["ingress"]
    assert {"podSelector": {"matchLabels": label}} in rule["from"]
    assert all("podSelector" in peer for peer in rule["from"])  # nobody by namespace alone
    assert policy["spec"]["policyTypes"] == ["Ingress"]


def test_the_head_takes_no_tasks_and_workers_are_of_a_fixed_size(cluster: dict[str, Any]) -> None:
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert not cluster.get("enableInTreeAutoscaling")
    for group in cluster["workerGroupSpecs"]:
        assert 0 < group["minReplicas"] == group["replicas"] == group["maxReplicas"]


def test_some_gpus_are_on_spot_and_fewer_on_demand(cluster: dict[str, Any]) -> None:
    replicas = {group["groupName"]: group["replicas"] for group in cluster["workerGroupSpecs"]}
    assert 0 < replicas["gpu-on-demand"] < replicas["gpu-spot"]
    for group in cluster["workerGroupSpecs"]:
        (container,) = group["template"]["spec"]["containers"]
        assert ("nvidia.com/gpu" in container["resources"]["limits"]) == (
            "gpu" in group["groupName"]
        )


def test_all_pods_have_one_image_and_rays_the_settings_and_the_storage(
    job: dict[str, Any],
) -> None:
    assert len({container["image"] for container in containers(job)}) == 1
    for template in templates(job)[1:]:
        (container,) = template["spec"]["containers"]
        found = {setting["name"]: setting["value"] for setting in container["env"]}
        assert found == {**{name: ENVIRONMENT[name] for name in STANDING}, KEPT: "1"}
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts == {"storage": "/mnt/lussweep"}
        assert {volume["name"] for volume in template["spec"]["volumes"]} == set(mounts)


def test_the_entrypoint_is_a_command_on_shared_storage(job: dict[str, Any]) -> None:
    program, name, *rest = shlex.split(job["spec"]["entrypoint"])
    assert (program, name) == ("lussweep", "grid")
    group: Any = typer.main.get_command(app)
    context = group.commands[name].make_context(name, rest)
    assert context.params["address"] == "auto"
    assert str(context.params["out"]).startswith("/mnt/lussweep/")


def test_nothing_is_paid_for_without_end(job: dict[str, Any]) -> None:
    spec = job["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["activeDeadlineSeconds"] > 0


def test_the_usage_has_exact_versions_and_explains_what_to_fill_in() -> None:
    usage, _, rest = FILE.read_text().partition("apiVersion: ray.io/v1")
    assert f"rayproject/ray:{RAY}-py311" in usage
    assert f'"ray[default,tune,train]=={RAY}"' in usage
    assert "--version 1.6.2" in usage
    used = set(re.findall(r"\w+FILL_IN", rest))
    assert used <= set(re.findall(r"\w+FILL_IN", usage))
