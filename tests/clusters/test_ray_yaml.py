"""The files for `ray up` against Ray's own schema and checks; nothing here speaks to a cloud."""

from __future__ import annotations

import copy
import json
import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
import yaml
from packaging.requirements import Requirement
from ray.autoscaler._private.util import prepare_config, validate_config

from lussweep.backend.cluster.environment import ENVIRONMENT
from support.commands import ROOT, STANDING

SCHEMA = Path(ray.autoscaler.__file__).parent / "ray-schema.json"
CLUSTERS = ROOT / "experiments" / "clusters"
CLOUDS = {"aws": ROOT / "cluster.yaml", "gcp": CLUSTERS / "gcp.yaml"}
FILES = {**CLOUDS, "on-premises": CLUSTERS / "on-premises.yaml"}
HOMES = {"aws": "/home/ubuntu", "gcp": "/home/ubuntu", "on-premises": "~"}


@pytest.fixture(params=FILES)
def name(request: pytest.FixtureRequest) -> str:
    """A cluster of this name: by default each of the files."""
    return str(request.param)


clouds = pytest.mark.parametrize("name", CLOUDS, indirect=True)


@pytest.fixture
def text(name: str) -> str:
    return FILES[name].read_text()


@pytest.fixture
def usage(text: str) -> str:
    return text.partition("cluster_name:")[0]


@pytest.fixture
def config(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def _schema_check(config: dict[str, Any]) -> None:
    jsonschema.validate(config, json.loads(SCHEMA.read_text()))


def _start_words(config: dict[str, Any], role: str) -> list[str]:
    stop, start = config[f"{role}_start_ray_commands"]
    assert stop == "ray stop"  # a repeated `ray up` starts beside the old processes otherwise
    return shlex.split(start)


def _pins(config: dict[str, Any]) -> dict[str, Requirement]:
    """The exact pins of the setup commands, by project."""
    words = [word for command in config["setup_commands"] for word in shlex.split(command)]
    pinned = [Requirement(word) for word in words if re.fullmatch(r"[\w\[\],-]+==[\d.]+", word)]
    return {requirement.name: requirement for requirement in pinned}


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def test_satisfies_rays_schema(config: dict[str, Any]) -> None:
    _schema_check(config)


def test_survives_what_ray_up_does_before_it_calls_a_cloud(config: dict[str, Any]) -> None:
    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    # Keys that are left out get Ray's defaults: conda of an old image, a nightly wheel, pip.
    for role in ("head", "worker"):
        assert prepared[f"{role}_setup_commands"] == config["setup_commands"]
        assert len(prepared[f"{role}_start_ray_commands"]) == 2
    assert prepared["provider"] == config["provider"]


@clouds
def test_every_kind_of_worker_but_the_head_is_started(config: dict[str, Any]) -> None:
    types = prepare_config(copy.deepcopy(config))["available_node_types"]
    started = {name for name, kind in types.items() if kind["max_workers"]}
    assert started == {"gpu_spot", "gpu_on_demand", "cpu"}


@pytest.mark.parametrize("name", ["on-premises"], indirect=True)
def test_every_machine_of_ones_own_is_in_the_cluster(config: dict[str, Any]) -> None:
    (kind,) = prepare_config(copy.deepcopy(config))["available_node_types"].values()
    n_workers = len(config["provider"]["worker_ips"])
    assert n_workers and kind["min_workers"] == kind["max_workers"] == n_workers


def _add_old_key(config: dict[str, Any]) -> None:
    config["initial_workers"] = 1


def _drop_resources(config: dict[str, Any]) -> None:
    del config["available_node_types"]["gpu_spot"]["resources"]


def _misspell_node_key(config: dict[str, Any]) -> None:
    config["available_node_types"]["cpu"]["min_worker"] = 1


def _quote_a_number(config: dict[str, Any]) -> None:
    config["max_workers"] = "3"


@clouds
@pytest.mark.parametrize(
    "damage", [_add_old_key, _drop_resources, _misspell_node_key, _quote_a_number]
)
def test_a_broken_copy_fails(
    config: dict[str, Any], damage: Callable[[dict[str, Any]], None]
) -> None:
    damage(config)
    with pytest.raises(jsonschema.ValidationError):
        _schema_check(config)
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(config))


@clouds
def test_ray_refuses_an_unknown_head_type_and_too_few_workers(config: dict[str, Any]) -> None:
    unknown = {**copy.deepcopy(config), "head_node_type": "none_such"}
    with pytest.raises(ValueError, match="head_node_type"):
        validate_config(prepare_config(unknown))
    too_few = {**copy.deepcopy(config), "max_workers": 1}
    with pytest.raises(ValueError, match="max_workers"):
        validate_config(prepare_config(too_few))


def _is_spot(kind: dict[str, Any]) -> bool:
    node = kind["node_config"]
    aws = node.get("InstanceMarketOptions", {}).get("MarketType")
    return "spot" in (aws, node.get("scheduling", {}).get("provisioningModel", "").lower())


@clouds
def test_the_head_takes_no_tasks_and_is_not_on_spot(config: dict[str, Any]) -> None:
    head = config["available_node_types"][config["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert not _is_spot(head)
    assert head.get("min_workers", 0) == 0
    assert head["max_workers"] == 0


@clouds
def test_workers_fit_and_are_there_before_the_grid_starts(config: dict[str, Any]) -> None:
    workers = dict(config["available_node_types"])
    del workers[config["head_node_type"]]
    assert config["max_workers"] >= sum(kind["min_workers"] for kind in workers.values())
    assert config["max_workers"] == sum(kind["max_workers"] for kind in workers.values())
    for kind in workers.values():
        assert 0 < kind["min_workers"] <= kind["max_workers"]
        assert kind["resources"]["CPU"] > 0


@clouds
def test_some_gpus_are_on_spot_and_fewer_on_demand(config: dict[str, Any]) -> None:
    gpu = [k for k in config["available_node_types"].values() if k["resources"].get("GPU")]
    spot = sum(kind["max_workers"] for kind in gpu if _is_spot(kind))
    on_demand = sum(kind["max_workers"] for kind in gpu if not _is_spot(kind))
    assert 0 < on_demand < spot


def _images(value: Any) -> list[str]:
    """Every image that is named at any depth of a node's configuration."""
    if isinstance(value, dict):
        named = [v for k, v in value.items() if k in ("ImageId", "sourceImage")]
        return named + [image for v in value.values() for image in _images(v)]
    return [image for v in value for image in _images(v)] if isinstance(value, list) else []


@clouds
def test_all_nodes_have_one_image(config: dict[str, Any]) -> None:
    types = config["available_node_types"]
    images = _images(types)
    assert len(images) == len(types)
    assert len(set(images)) == 1


@pytest.mark.parametrize("role", ["head", "worker"])
def test_ray_starts_with_the_token(config: dict[str, Any], role: str) -> None:
    words = _start_words(config, role)
    ray_at = words.index("ray")
    assert words[ray_at : ray_at + 2] == ["ray", "start"]
    assert words[ray_at - 1] == "RAY_AUTH_MODE=token"
    assert ("--head" in words) == (role == "head")
    assert ("--address=$RAY_HEAD_IP:6379" in words) == (role == "worker")


@pytest.mark.parametrize("name", ["on-premises"], indirect=True)
def test_an_autoscaler_that_starts_workers_of_ones_own(config: dict[str, Any]) -> None:
    """`ray up` exports RAY_enable_autoscaler_v2=1 before the command, which overrides it."""
    words = _start_words(config, "head")
    assert "RAY_enable_autoscaler_v2=0" in words[: words.index("ray")]


def test_the_token_comes_from_the_users_machine_and_is_closed(
    config: dict[str, Any], name: str, text: str, usage: str
) -> None:
    assert config["file_mounts"][f"{HOMES[name]}/.ray/auth_token"] == "~/.ray/auth_token"
    closing = "chmod 700 ~/.ray && chmod 600 ~/.ray/auth_token"
    assert closing in config["initialization_commands"]
    assert closing in usage
    assert "RAY_AUTH_TOKEN=" not in text


def test_the_dashboard_answers_on_the_head_alone(config: dict[str, Any], text: str) -> None:
    hosts = [w for w in _start_words(config, "head") if w.startswith("--dashboard-host")]
    assert hosts == ["--dashboard-host=127.0.0.1"]
    assert "0.0.0.0" not in text


def test_pins_satisfy_the_project(config: dict[str, Any]) -> None:
    pins = _pins(config)
    wanted = {r.name: r for r in map(Requirement, _project()["dependencies"])}
    assert {"ray", "torch"} <= set(pins)
    for name, pin in pins.items():
        (version,) = (specifier.version for specifier in pin.specifier)
        assert wanted[name].specifier.contains(version), name
        assert wanted[name].extras <= pin.extras, name


def test_the_users_ray_is_the_nodes_ray(config: dict[str, Any], usage: str) -> None:
    assert f'"ray[default]{_pins(config)["ray"].specifier}"' in usage


def test_one_exact_python_that_the_project_takes(config: dict[str, Any]) -> None:
    versions = re.findall(r"--python (\d+\.\d+\.\d+)", "\n".join(config["setup_commands"]))
    assert len(versions) == 1
    wanted = Requirement(f"python{_project()['requires-python']}").specifier
    assert wanted.contains(versions[0])


def test_the_checkout_is_mounted_and_installed(config: dict[str, Any], name: str) -> None:
    assert config["file_mounts"][f"{HOMES[name]}/lussweep"] == "."
    installs = [c for c in config["setup_commands"] if "--editable ~/lussweep" in c]
    assert len(installs) == 1


@clouds
def test_shared_storage_is_mounted_on_every_node(config: dict[str, Any], name: str) -> None:
    (mount,) = (c for c in config["setup_commands"] if "sudo mount -t nfs" in c)
    assert mount.count("/mnt/lussweep") >= 3
    assert "lookupcache=positive" in mount  # else a node misses for a minute what another committed
    if name == "aws":
        assert f".efs.{config['provider']['region']}.amazonaws.com" in mount


def test_what_is_to_be_filled_in_is_explained(text: str, usage: str) -> None:
    explained = set(re.findall(r"[\w-]*FILL_IN", usage)) - {"FILL_IN"}
    used = set(re.findall(r"[\w-]*FILL_IN", text.removeprefix(usage)))
    assert used <= explained  # fewer once they are filled in


def test_the_usage_names_this_file_and_ends_with_its_costs(name: str, usage: str) -> None:
    path = str(FILES[name].relative_to(ROOT))
    for command in ("up", "exec", "attach", "dashboard", "down"):
        assert f"ray {command} {path}" in usage
    assert "lussweep doctor --address auto --store" in usage


def test_shell_settings_are_those_of_the_session_and_may_be_repeated(
    config: dict[str, Any], tmp_path: Path
) -> None:
    (command,) = (c for c in config["setup_commands"] if ".bashrc" in c)
    bashrc = tmp_path / ".bashrc"
    bashrc.touch()
    for _ in range(2):
        environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        subprocess.run(["bash", "-c", f"({command})"], env=environment, check=True, timeout=30)
    lines = bashrc.read_text().splitlines()
    assert len(lines) == len(set(lines))
    settings = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    assert settings.pop("PATH") == '"$HOME/venv/bin:$PATH"'
    assert settings.pop("RAY_AUTH_MODE") == "token"
    assert settings == {name: ENVIRONMENT[name] for name in STANDING}


def test_every_command_is_shell(config: dict[str, Any]) -> None:
    keys = [k for k in config if k.endswith("_commands")]
    assert len(keys) == 5
    for command in (command for key in keys for command in config[key]):
        subprocess.run(["bash", "-n", "-c", f"({command})"], check=True, timeout=30)


def test_every_cluster_file_ships_with_the_package() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folder = ROOT / tool["package-dir"]["lussweep.experiments"]
    patterns = tool["package-data"]["lussweep.experiments"]
    shipped = {path for pattern in patterns for path in folder.glob(pattern)}
    assert {path for path in CLUSTERS.iterdir() if path.is_file()} <= shipped
    assert {path.name for path in CLUSTERS.iterdir()} == {
        "gcp.yaml", "kuberay.yaml", "on-premises.yaml", "slurm.sh",
    }  # fmt: skip
