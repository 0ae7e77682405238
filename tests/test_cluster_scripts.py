"""The scripts and the manifest for clusters are sound; they are run in `tests/cluster`."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from support.pages import blocks
from support.paths import ROOT

from harness.cli import bench as root_command
from harness.plugins.loading import load_plugins

FOLDER = ROOT / "examples" / "clusters"
SCRIPTS = sorted(FOLDER.glob("*.sh"))
PAGE = ROOT / "docs" / "guides" / "clusters.md"

# Fields of KubeRay's types RayJobSpec, RayClusterSpec, HeadGroupSpec and WorkerGroupSpec in ray.io/v1.
JOB = {
    *("activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "submitterPodTemplate", "metadata"),
    *("clusterSelector", "submitterConfig", "managedBy", "deletionStrategy", "entrypoint", "runtimeEnvYAML"),
    *("jobId", "submissionMode", "entrypointResources", "entrypointNumCpus", "entrypointNumGpus"),
    *("ttlSecondsAfterFinished", "shutdownAfterJobFinishes", "suspend"),
}
CLUSTER = {
    *("headGroupSpec", "workerGroupSpecs", "rayVersion", "enableInTreeAutoscaling", "autoscalerOptions"),
    *("headServiceAnnotations", "suspend", "authOptions"),
}
HEAD = {"serviceType", "headService", "enableIngress", "rayStartParams", "template"}
GROUP = {
    *("groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "rayStartParams", "template"),
    "scaleStrategy",
}


def shellcheck() -> str:
    path = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or shutil.which("shellcheck")
    if path is None:
        pytest.skip("shellcheck is not installed: pip install -e '.[dev]'")
    return path


def test_scripts_pass_shellcheck():
    assert len(SCRIPTS) >= 4
    done = subprocess.run(
        [shellcheck(), "--severity", "style", *SCRIPTS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_stop_at_the_first_mistake_and_are_on_the_page(script):
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/bin/bash"
    assert "set -euo pipefail" in lines
    # What SLURM reads ends with the first command.
    last = max(number for number, line in enumerate(lines) if line.startswith("#SBATCH"))
    assert all(line.startswith("#") for line in lines[: last + 1])
    assert f"examples/clusters/{script.name}" in PAGE.read_text(encoding="utf-8")


def test_the_manifest_is_one_of_kuberay():
    manifest = yaml.safe_load((FOLDER / "kuberay.yaml").read_text(encoding="utf-8"))
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", manifest["metadata"]["name"])
    spec = manifest["spec"]
    assert spec.keys() <= JOB
    assert spec["submissionMode"] in ("K8sJobMode", "HTTPMode", "InteractiveMode")
    cluster = spec["rayClusterSpec"]
    assert cluster.keys() <= CLUSTER
    head, (group,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert {"rayStartParams", "template"} <= head.keys() <= HEAD
    assert {"groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"} <= group.keys() <= GROUP
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for part in (head, group):
        # Their type is a map of texts: a number there is refused.
        assert all(isinstance(value, str) for value in part["rayStartParams"].values())
        pod = part["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {"name", "image"} <= container.keys()
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            # GPUs cannot be asked for without a limit of the same number.
            resources = container["resources"]
            assert resources["requests"] == resources["limits"]


def test_the_manifests_command_is_one():
    manifest = yaml.safe_load((FOLDER / "kuberay.yaml").read_text(encoding="utf-8"))
    _, name, *words = shlex.split(manifest["spec"]["entrypoint"])
    context = click.Context(root_command, obj=load_plugins())
    command = root_command.get_command(context, name)
    parsed = command.make_context(name, words, parent=context)
    assert parsed.params["engine"] == "ray"


def test_the_pages_manifest_is_the_file():
    (shown,) = blocks(PAGE, "yaml")
    assert shown in (FOLDER / "kuberay.yaml").read_text(encoding="utf-8")
