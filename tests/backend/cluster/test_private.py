"""The private parts of Ray are where the package expects them. No Ray runs here."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import tomllib
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from lussweep.backend.cluster import private
from support.commands import ROOT

RAY = metadata.version("ray")
WHERE = "lussweep/backend/cluster/private.py"
PARTS = (
    "ray._common.utils:get_default_ray_temp_dir",
    "ray._private.grpc_utils:init_grpc_channel",
    "ray._private.state:state.get_draining_nodes",
    "ray._raylet:Config.initialize",
    "ray.core.generated.gcs_service_pb2:CheckAliveRequest",
    "ray.core.generated.gcs_service_pb2_grpc:NodeInfoGcsServiceStub",
    "ray.experimental.internal_kv:_internal_kv_del",
    "ray.experimental.internal_kv:_internal_kv_get",
    "ray.experimental.internal_kv:_internal_kv_put",
    "ray.train.v2._internal.exceptions:WorkerHealthCheckFailedError",
)
KEYWORDS = (
    ("ray._private.grpc_utils:init_grpc_channel", "options"),
    ("ray.experimental.internal_kv:_internal_kv_del", "del_by_prefix"),
    ("ray.experimental.internal_kv:_internal_kv_put", "overwrite"),
)
READERS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "ray._private.accelerators.accelerator",
    "RAY_ENABLE_AUTO_CONNECT": "ray._private.auto_init_hook",
    "RAY_JOB_STOP_WAIT_TIME_S": "ray.dashboard.modules.job.job_supervisor",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "ray.train.v2._internal.constants",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "ray.train.v2._internal.constants",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "ray.train.v2._internal.constants",
    "RAY_preload_python_modules": "ray._raylet",  # C++, which adds the prefix
}
"""The module that reads each setting."""


def gone(part: str) -> str:
    return f"Ray {RAY} has no {part}: mend {WHERE}"


def resolve(part: str) -> Any:
    try:
        return pkgutil.resolve_name(part)
    except (ImportError, AttributeError) as error:
        pytest.fail(f"{gone(part)} ({error})", pytrace=False)


@pytest.mark.parametrize("part", PARTS)
def test_each_part_is_there(part: str) -> None:
    resolve(part)


@pytest.mark.parametrize(("part", "keyword"), KEYWORDS)
def test_each_function_takes_its_keyword(part: str, keyword: str) -> None:
    assert keyword in inspect.signature(resolve(part)).parameters, gone(f"{part}({keyword}=)")


def test_the_control_service_can_be_asked_whether_it_is_alive() -> None:
    stub = resolve("ray.core.generated.gcs_service_pb2_grpc:NodeInfoGcsServiceStub")
    with grpc.insecure_channel("127.0.0.1:1") as channel:  # connects at the first call
        assert callable(getattr(stub(channel), "CheckAlive", None)), gone("CheckAlive")


def test_a_failed_health_check_has_a_cause() -> None:
    unhealthy = resolve("ray.train.v2._internal.exceptions:WorkerHealthCheckFailedError")
    cause = ValueError("dead")
    assert private.cause_of(unhealthy("no answer", cause)) is cause
    assert private.cause_of(cause) is cause


def test_the_head_node_has_its_resource() -> None:
    assert resolve("ray._common.constants:HEAD_NODE_RESOURCE_NAME") == private.HEAD_RESOURCE


@pytest.mark.parametrize("setting", [*private.ENVIRONMENT, private.JOB_STOP_WAIT_S])
def test_each_setting_is_read(setting: str) -> None:
    module = find_spec(READERS[setting])
    assert module is not None and module.origin is not None, gone(READERS[setting])
    name = setting.removeprefix("RAY_") if module.origin.endswith(".so") else setting
    assert name.encode() in Path(module.origin).read_bytes(), gone(setting)


@pytest.mark.parametrize("logger", private.CHATTY_LOGGERS)
def test_each_chatty_logger_has_its_module(logger: str) -> None:
    module = find_spec(logger)
    assert module is not None and module.origin is not None, gone(logger)
    assert "logging.getLogger(__name__)" in Path(module.origin).read_text(), gone(logger)


def test_these_tests_know_every_part() -> None:
    imports = [
        node
        for node in ast.walk(ast.parse((ROOT / WHERE).read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ray.")
    ]
    used = {f"{node.module}.{alias.name}" for node in imports for alias in node.names}
    known = [part.replace(":", ".") for part in PARTS]
    assert used
    assert not [name for name in used if not any(f"{k}.".startswith(f"{name}.") for k in known)]


def test_no_other_file_uses_a_private_part() -> None:
    settings = [re.escape(name) for name in (*private.ENVIRONMENT, private.JOB_STOP_WAIT_S)]
    pattern = re.compile(
        rf"\bray(\.\w+)*\._|\bray\.(core|experimental|_)|_internal_kv|{'|'.join(settings)}"
    )
    files = [path for path in (ROOT / "lussweep").rglob("*.py") if path != ROOT / WHERE]
    assert pattern.search((ROOT / WHERE).read_text())
    assert not [str(path) for path in files if pattern.search(path.read_text())]


def test_the_bounds_are_the_versions_that_were_tried() -> None:
    tried = [
        Version(found) for found in re.findall(r"^- Ray ([\d.]+\d)", private.__doc__ or "", re.M)
    ]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(line) for line in project["dependencies"]]
    (bounds,) = (requirement.specifier for requirement in wanted if requirement.name == "ray")
    lowest, highest = min(tried), max(tried)
    assert bounds.contains(lowest) and bounds.contains(highest)
    assert not bounds.contains(f"{lowest.major}.{lowest.minor - 1}.99")
    assert not bounds.contains(f"{highest.major}.{highest.minor + 1}.0")
    release = Version(RAY).release[:2]
    assert release in [v.release[:2] for v in tried], f"say in {WHERE} what was tried with {RAY}"
