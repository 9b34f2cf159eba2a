"""cluster.yaml against Ray's own schema and checks; nothing here speaks to AWS."""

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

from lussweep.backend.cluster.session import ENVIRONMENT

ROOT = Path(__file__).parent.parent
SCHEMA = Path(ray.autoscaler.__file__).parent / "ray-schema.json"
HOME = "/home/ubuntu"


@pytest.fixture
def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
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


def test_survives_what_ray_up_does_before_it_calls_aws(config: dict[str, Any]) -> None:
    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    types = prepared["available_node_types"]
    assert {name for name, kind in types.items() if kind["max_workers"]} == {"gpu_spot", "cpu"}
    # Keys that are left out get Ray's defaults: conda of an old image, a nightly wheel, pip.
    for role in ("head", "worker"):
        assert prepared[f"{role}_setup_commands"] == config["setup_commands"]
        assert len(prepared[f"{role}_start_ray_commands"]) == 2
    assert prepared["provider"] == config["provider"]


def _add_old_key(config: dict[str, Any]) -> None:
    config["initial_workers"] = 1


def _drop_resources(config: dict[str, Any]) -> None:
    del config["available_node_types"]["gpu_spot"]["resources"]


def _misspell_node_key(config: dict[str, Any]) -> None:
    config["available_node_types"]["cpu"]["min_worker"] = 1


def _quote_a_number(config: dict[str, Any]) -> None:
    config["max_workers"] = "3"


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


def test_ray_refuses_an_unknown_head_type_and_too_few_workers(config: dict[str, Any]) -> None:
    unknown = {**copy.deepcopy(config), "head_node_type": "none_such"}
    with pytest.raises(ValueError, match="head_node_type"):
        validate_config(prepare_config(unknown))
    too_few = {**copy.deepcopy(config), "max_workers": 1}
    with pytest.raises(ValueError, match="max_workers"):
        validate_config(prepare_config(too_few))


def test_the_head_takes_no_tasks_and_is_not_on_spot(config: dict[str, Any]) -> None:
    head = config["available_node_types"][config["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert head.get("min_workers", 0) == 0
    assert head["max_workers"] == 0


def test_workers_fit_and_are_there_before_the_grid_starts(config: dict[str, Any]) -> None:
    workers = dict(config["available_node_types"])
    del workers[config["head_node_type"]]
    assert config["max_workers"] >= sum(kind["min_workers"] for kind in workers.values())
    assert config["max_workers"] == sum(kind["max_workers"] for kind in workers.values())
    for kind in workers.values():
        assert 0 < kind["min_workers"] <= kind["max_workers"]
        assert kind["resources"]["CPU"] > 0
    gpu = [kind for kind in workers.values() if kind["resources"].get("GPU")]
    assert gpu
    for kind in gpu:
        assert kind["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}


def test_all_nodes_have_one_image(config: dict[str, Any]) -> None:
    types = config["available_node_types"].values()
    assert len({kind["node_config"]["ImageId"] for kind in types}) == 1


@pytest.mark.parametrize("role", ["head", "worker"])
def test_ray_starts_with_the_token(config: dict[str, Any], role: str) -> None:
    words = _start_words(config, role)
    ray_at = words.index("ray")
    assert words[ray_at : ray_at + 2] == ["ray", "start"]
    assert words[ray_at - 1] == "RAY_AUTH_MODE=token"
    assert ("--head" in words) == (role == "head")
    assert ("--address=$RAY_HEAD_IP:6379" in words) == (role == "worker")


def test_the_token_comes_from_the_users_machine_and_is_closed(config: dict[str, Any]) -> None:
    assert config["file_mounts"][f"{HOME}/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("chmod 600 ~/.ray/auth_token" in c for c in config["initialization_commands"])
    assert "RAY_AUTH_TOKEN=" not in (ROOT / "cluster.yaml").read_text()


def test_the_dashboard_answers_on_the_head_alone(config: dict[str, Any]) -> None:
    hosts = [w for w in _start_words(config, "head") if w.startswith("--dashboard-host")]
    assert hosts == ["--dashboard-host=127.0.0.1"]
    assert "0.0.0.0" not in (ROOT / "cluster.yaml").read_text()


def test_pins_satisfy_the_project(config: dict[str, Any]) -> None:
    pins = _pins(config)
    wanted = {r.name: r for r in map(Requirement, _project()["dependencies"])}
    assert {"ray", "torch"} <= set(pins)
    for name, pin in pins.items():
        (version,) = (specifier.version for specifier in pin.specifier)
        assert wanted[name].specifier.contains(version), name
        assert wanted[name].extras <= pin.extras, name


def test_the_users_ray_is_the_nodes_ray(config: dict[str, Any]) -> None:
    usage = (ROOT / "cluster.yaml").read_text().partition("cluster_name:")[0]
    assert f'"ray[default]{_pins(config)["ray"].specifier}"' in usage


def test_one_exact_python_that_the_project_takes(config: dict[str, Any]) -> None:
    versions = re.findall(r"--python (\d+\.\d+\.\d+)", "\n".join(config["setup_commands"]))
    assert len(versions) == 1
    wanted = Requirement(f"python{_project()['requires-python']}").specifier
    assert wanted.contains(versions[0])


def test_the_checkout_is_mounted_and_installed(config: dict[str, Any]) -> None:
    assert config["file_mounts"][f"{HOME}/lussweep"] == "."
    installs = [c for c in config["setup_commands"] if "--editable ~/lussweep" in c]
    assert len(installs) == 1


def test_shared_storage_and_image_are_named_as_to_be_filled_in(config: dict[str, Any]) -> None:
    usage = (ROOT / "cluster.yaml").read_text().partition("cluster_name:")[0]
    mounts = [c for c in config["setup_commands"] if "sudo mount -t nfs4" in c]
    assert len(mounts) == 1
    image = config["available_node_types"]["head"]["node_config"]["ImageId"]
    if "FILL_IN" in image:  # as shipped
        assert "fs-FILL_IN.efs." in mounts[0]
    assert "ami-FILL_IN" in usage
    assert "fs-FILL_IN" in usage
    region = config["provider"]["region"]
    assert f".efs.{region}.amazonaws.com" in mounts[0]


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
    assert settings == {name: ENVIRONMENT[name] for name in settings}


def test_every_command_is_shell(config: dict[str, Any]) -> None:
    keys = [k for k in config if k.endswith("_commands")]
    assert len(keys) == 5
    for command in (command for key in keys for command in config[key]):
        subprocess.run(["bash", "-n", "-c", f"({command})"], check=True, timeout=30)
