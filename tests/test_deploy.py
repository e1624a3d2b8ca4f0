"""The files in deploy/ say of chatlab what is so: ports, paths, variables, commands, signals, seconds."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from chatlab.azure_identity import AzureIdentity
from chatlab.cli import main
from chatlab.cli.compare_engine import engine_named
from chatlab.cli.program import CLOSED, EXIT_CODES, INTERRUPTED, NOT_READY, OK
from chatlab.config.load import load_config
from chatlab.config.telemetry import Telemetry
from chatlab.secret import is_credential
from chatlab.telemetry.export import Exporting
from chatlab.web.probes import PATHS

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = ("local", "azure")
CONFIGS = sorted(DEPLOY.rglob("*chatlab.yaml"))
AT_THE_END = 3 + 5  # seconds after the drain: connections, what telemetry has still to send
NAMED = re.compile(r"\{env: (\w+)\}")


def read(file: str) -> Any:
    return yaml.safe_load((DEPLOY / file).read_text("utf-8"))


@cache
def built(overlay: str) -> tuple[dict[str, Any], ...]:
    """Return the manifests of an overlay, as `kubectl apply -k` sends them."""
    if shutil.which("kubectl") is None:
        if os.environ.get("CI"):
            pytest.fail("kubectl is missing")
        pytest.skip("kubectl is missing")
    command = ["kubectl", "kustomize", str(KUBERNETES / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, kind: str, name: str = "chatlab") -> dict[str, Any]:
    names = re.compile(rf"{name}(-upgrade|-[0-9a-z]{{10}})?")  # with the hash of its content
    (found,) = (
        one for one in built(overlay) if one["kind"] == kind and names.fullmatch(one["metadata"]["name"])
    )
    return found


def container(overlay: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the server's pod, and its container."""
    pod = of_kind(overlay, "Deployment")["spec"]["template"]["spec"]
    (one,) = pod["containers"]
    return pod, one


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_takes_every_manifest(overlay: str) -> None:
    others = set()
    for one in built(overlay):
        try:
            kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            others.add(one["kind"])
    gateway = {"Gateway", "HTTPRoute", "RoutePolicy", "ExternalSecret", "SecretStore"}
    assert others == (gateway if overlay == "azure" else set())


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: str(file.relative_to(DEPLOY)))
def test_each_configuration_is_valid_and_names_its_schema(file: Path) -> None:
    assert load_config(file).server.host == "0.0.0.0"
    schema = file.read_text("utf-8").splitlines()[0].partition("$schema=")[2]
    assert (file.parent / schema).resolve() == ROOT / "configs" / "chatlab.schema.json"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_is_asked_and_ended_as_the_server_wants_it(overlay: str) -> None:
    config = load_config(KUBERNETES / "overlays" / overlay / "chatlab.yaml")
    pod, one = container(overlay)
    (port,) = one["ports"]
    assert port == {"name": "http", "containerPort": config.server.port}
    probes = {name: one[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    assert {probe["port"] for probe in probes.values()} == {"http"}
    assert {probe["path"] for probe in probes.values()} < set(PATHS)
    before = one["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert before > one["readinessProbe"]["periodSeconds"] - 1
    assert pod["terminationGracePeriodSeconds"] > before + config.server.drain_seconds + AT_THE_END
    annotations = of_kind(overlay, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] in PATHS
    assert annotations["prometheus.io/port"] == str(config.server.port)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_command_is_one_of_chatlabs_and_finds_its_configuration(overlay: str) -> None:
    jobs = (of_kind(overlay, "Deployment"), of_kind(overlay, "Job"))
    for pod in (one["spec"]["template"]["spec"] for one in jobs):
        (one,) = pod["containers"]
        command, *arguments = one["args"]
        main.commands[command].make_context(command, [*arguments])
        folder, _, file = arguments[-1].rpartition("/")
        (mounted,) = (mount["name"] for mount in one["volumeMounts"] if mount["mountPath"] == folder)
        (volume,) = (volume for volume in pod["volumes"] if volume["name"] == mounted)
        made = of_kind(overlay, "ConfigMap")
        assert volume["configMap"]["name"] == made["metadata"]["name"] and file in made["data"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nobody_in_a_pod_is_root_or_can_write_but_where_it_must(overlay: str) -> None:
    pods = [one["spec"]["template"]["spec"] for one in built(overlay) if "template" in one.get("spec", {})]
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
        assert pod["automountServiceAccountToken"] is False
        for one in pod["containers"]:
            assert one["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert one["resources"]["limits"]["memory"] and one["resources"]["requests"]["cpu"]
    assert len(pods) == (3 if overlay == "local" else 2)
    folder = load_config(KUBERNETES / "overlays" / overlay / "chatlab.yaml").storage
    if folder is not None and "://" not in str(folder.files):
        _, server = container(overlay)
        mounts = [mount["mountPath"] for mount in server["volumeMounts"] if not mount.get("readOnly")]
        assert any(str(folder.files).startswith(f"{mount}/") for mount in mounts)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_are_referred_to_and_each_that_is_named_is_given(overlay: str) -> None:
    manifests = built(overlay)
    assert "Secret" not in {one["kind"] for one in manifests}
    assert not is_credential(json.dumps(manifests))
    named = {*NAMED.findall(of_kind(overlay, "ConfigMap")["data"]["chatlab.yaml"])}
    _, one = container(overlay)
    assert one["envFrom"] == [{"secretRef": {"name": "chatlab"}}]
    if overlay == "azure":
        given = of_kind(overlay, "ExternalSecret")["spec"]
        assert given["target"]["name"] == "chatlab"
        assert {entry["secretKey"] for entry in given["data"]} == named
    else:
        said = (KUBERNETES / "overlays" / overlay / "kustomization.yaml").read_text("utf-8")
        assert {*re.findall(r"create secret generic chatlab [^#]*#\s+--from-literal=(\w+)=", said)} == named


def test_the_autoscaler_asks_for_a_metric_that_there_is() -> None:
    exporting = Exporting(Telemetry(prometheus=("127.0.0.1",)))
    try:
        exporting.observer.count("echo", 1)
        assert exporting.metrics is not None
        told = exporting.metrics().decode()
    finally:
        exporting.close()
    (metric,) = of_kind("azure", "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert re.search(rf"^{metric['pods']['metric']['name']}\{{", told, re.M)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_requests_come_from_the_gateway_to_the_server_and_stay_at_one_replica(overlay: str) -> None:
    service = of_kind(overlay, "Service")["spec"]
    labels = of_kind(overlay, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()
    assert [port["targetPort"] for port in service["ports"]] == ["http"]
    config = load_config(KUBERNETES / "overlays" / overlay / "chatlab.yaml")
    if overlay == "local":
        ingress = of_kind(overlay, "Ingress")
        hosts = [rule["host"] for rule in ingress["spec"]["rules"]]
        assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/affinity"] == "cookie"
    else:
        route, policy = of_kind(overlay, "HTTPRoute")["spec"], of_kind(overlay, "RoutePolicy")["spec"]
        hosts = route["hostnames"]
        (rule,) = route["rules"]
        assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}
        assert rule["backendRefs"] == [{"name": "chatlab", "port": service["ports"][0]["port"]}]
        assert policy["default"]["sessionAffinity"]["affinityType"] == "application-cookie"
        account = of_kind(overlay, "ServiceAccount")["metadata"]
        assert "azure.workload.identity/client-id" in account["annotations"]
        assert labels["azure.workload.identity/use"] == "true"
        job = of_kind(overlay, "Job")["spec"]["template"]
        assert job["metadata"]["labels"]["azure.workload.identity/use"] == "true"
        assert job["spec"]["serviceAccountName"] == account["name"]
        identity = AzureIdentity(type="workload_identity")
        assert config.storage is not None and config.storage.auth == identity
        assert config.telemetry is not None and config.telemetry.azure_monitor_auth == identity
    assert hosts == [*config.server.allowed_hosts]


def test_the_image_has_what_it_needs_and_ends_in_order() -> None:
    lines = (DEPLOY / "Dockerfile").read_text("utf-8").replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    said = {name: [rest for step, rest in steps if step == name] for name in {step for step, _ in steps}}
    copied = [one for rest in said["COPY"] if "--from" not in rest for one in rest.split()[:-1]]
    assert all((ROOT / one).exists() for one in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (extras,) = re.findall(r"'\.\[([\w,-]+)\]'", "".join(said["RUN"]))
    assert {*extras.split(",")} <= {*project["optional-dependencies"]}
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == {*copied}
    assert said["STOPSIGNAL"] == ["SIGTERM"] and said["ENTRYPOINT"] == ['["chatlab"]']
    (user,) = said["USER"]
    context = yaml.safe_load((KUBERNETES / "base" / "deployment.yaml").read_text())["spec"]["template"][
        "spec"
    ]
    assert user == "{runAsUser}:{runAsGroup}".format(**context["securityContext"])
    assert said["EXPOSE"] == [str(load_config(KUBERNETES / "base" / "chatlab.yaml").server.port)]
    tag = read("kubernetes/base/kustomization.yaml")["images"][0]["newTag"]
    assert tag == project["version"] == read("compose.yaml")["x-chatlab"]["image"].partition(":")[2]


def test_compose_runs_the_same_image_with_its_configuration() -> None:
    compose, config = read("compose.yaml"), load_config(DEPLOY / "compose.chatlab.yaml")
    server, upgrade = compose["services"]["chatlab"], compose["services"]["upgrade"]
    main.commands[upgrade["command"][0]].make_context("db", upgrade["command"][1:])
    source, target, _ = server["volumes"][0].split(":")
    assert (DEPLOY / source).is_file()
    assert f"CHATLAB_CONFIG={target}" in (DEPLOY / "Dockerfile").read_text("utf-8")
    assert server["ports"] == [f"127.0.0.1:{config.server.port}:{config.server.port}"]
    assert f":{config.server.port}/healthz" in server["healthcheck"]["test"][-1]
    named = {*NAMED.findall((DEPLOY / "compose.chatlab.yaml").read_text("utf-8"))}
    assert named == {*server["environment"]}
    assert int(server["stop_grace_period"].rstrip("s")) > config.server.drain_seconds + AT_THE_END
    assert all(server[name] == upgrade[name] for name in ("image", "read_only", "cap_drop", "volumes"))


def test_the_service_of_systemd_is_one_and_ends_in_order(tmp_path: Path) -> None:
    text = (DEPLOY / "chatlab.service").read_text("utf-8")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text)
    service = unit["Service"]
    for name in ("ExecStart", "ExecStartPre"):
        _, command, *arguments = service[name].split()
        main.commands[command].make_context(command, arguments)
    assert service["KillSignal"] == "SIGTERM"
    assert int(service["TimeoutStopSec"]) > 60 + AT_THE_END
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing")
    copy = tmp_path / "chatlab.service"
    copy.write_text(text.replace("/opt/chatlab/bin/chatlab", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_databricks_app_is_what_its_bundle_and_its_configuration_say() -> None:
    app, bundle = read("databricks/app.yaml"), read("databricks/databricks.yml")
    folder = DEPLOY / "databricks"
    assert app["command"][:3] == ["python", "-m", "chatlab"]
    main.commands[app["command"][3]].make_context("serve", [*app["command"][4:-1], "8000"])
    assert app["command"][-1] == "$DATABRICKS_APP_PORT"
    assert (folder / app["command"][4]).is_file()
    (resource,) = bundle["resources"]["apps"]["chatlab"]["resources"]
    given = {one["name"]: one.get("valueFrom") for one in app["env"]}
    (named,) = NAMED.findall((folder / "chatlab.yaml").read_text("utf-8"))
    assert given[named] == resource["name"]
    config = load_config(folder / "chatlab.yaml")
    assert config.server.drain_seconds + AT_THE_END < 15
    assert config.auth is not None and config.auth.type == "databricks_apps"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (wheel, extras) = re.findall(
        r"^\./(\S+)\[(\S+)\]$", (folder / "requirements.txt").read_text("utf-8"), re.M
    )[0]
    assert wheel == f"{project['name'].replace('-', '_')}-{project['version']}-py3-none-any.whl"
    assert {*extras.split(",")} <= {*project["optional-dependencies"]}


def test_a_run_on_kuberay_is_one_of_chatlab_whose_workers_have_the_keys() -> None:
    manifests = {one["kind"]: one for one in built("ray")}
    for kind in {*manifests} - {"RayCluster"}:
        kubernetes_validate.validate(manifests[kind], kubernetes_validate.latest_version(), strict=True)
    assert {*manifests} == {"RayCluster", "Job", "ConfigMap", "PersistentVolumeClaim", "NetworkPolicy"}
    assert not is_credential(json.dumps([*manifests.values()]))
    cluster, run = manifests["RayCluster"]["spec"], manifests["Job"]["spec"]["template"]["spec"]
    (group,) = cluster["workerGroupSpecs"]
    head, workers = (one["template"]["spec"] for one in (cluster["headGroupSpec"], group))
    for pod in (head, workers, run):
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
        assert pod["automountServiceAccountToken"] is False
        (one,) = pod["containers"]
        assert (
            one["image"]
            == f"chatlab:{read('kubernetes/overlays/ray/kustomization.yaml')['images'][0]['newTag']}"
        )
        assert one["resources"]["limits"]["memory"] and one["resources"]["requests"]["cpu"]
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    # The keys are of the workers alone, and so is the work.
    assert workers["containers"][0]["envFrom"] == [{"secretRef": {"name": "chatlab"}}]
    assert "envFrom" not in head["containers"][0] and "envFrom" not in run["containers"][0]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert group["rayStartParams"]["num-cpus"] == "1"
    folder = KUBERNETES / "overlays" / "ray"
    told = (folder / "kustomization.yaml").read_text("utf-8")
    assert {*NAMED.findall((folder / "lanes.yaml").read_text("utf-8"))} == {
        *re.findall(r"literal=(\w+)=", told)
    }
    # Whoever calls the cluster has the token that KubeRay draws.
    assert cluster["authOptions"] == {"mode": "token"}
    name = manifests["RayCluster"]["metadata"]["name"]
    environment = {one["name"]: one for one in run["containers"][0]["env"]}
    assert environment["RAY_AUTH_MODE"]["value"] == "token"
    token = environment["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert token == {"name": name, "key": "auth_token"}
    # Both ways of the script are commands of chatlab: a first pod, and one that goes on.
    (script,) = run["containers"][0]["args"]
    common = re.search(r'chatlab compare "\$@" (.*)', script)
    assert common is not None
    options = common[1].split()
    (client,) = (port["containerPort"] for port in head["containers"][0]["ports"] if port["name"] == "client")
    assert options[:2] == ["--engine", f"ray://{name}-head-svc:{client}"]
    assert options[2:4] == ["--workers", str(group["replicas"])]
    engine_named(options[1], int(options[3]))
    for way in re.findall(r"set -- (.*)", script):
        words = way.replace('"$RUN"', environment["RUN"]["value"]).split()
        main.commands["compare"].make_context("compare", [*words, *options])
        mounted = {mount["mountPath"] for mount in run["containers"][0]["volumeMounts"]}
        assert all(str(Path(word).parent) in mounted for word in words if word.startswith("/"))
    rule = manifests["NetworkPolicy"]["spec"]
    (among,) = rule["ingress"][0]["from"]
    assert among in rule["egress"][0]["to"]
    labels = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]
        for one in (
            cluster["headGroupSpec"]["template"],
            group["template"],
            manifests["Job"]["spec"]["template"],
        )
    }
    assert labels == {*among["podSelector"]["matchExpressions"][0]["values"]}
    (ends,) = manifests["Job"]["spec"]["podFailurePolicy"]["rules"]
    assert {*ends["onExitCodes"]["values"]} == {*EXIT_CODES} - {OK, NOT_READY, INTERRUPTED, CLOSED}
    load_config(folder / "lanes.yaml")
