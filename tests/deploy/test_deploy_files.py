"""What `deploy/` says of the server is so: routes, settings, ports, metrics and their labels are those of the code.

No Docker and no cluster is here: that they accept these files is not tested.
"""

import json
import re
import shlex
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from prometheus_client import Histogram

from service.metrics import Metrics
from service.routes import ROUTES
from service.settings import OF_OTHERS, PREFIX, Settings

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
PATHS = {route.path for route in ROUTES}
SETTINGS = {f"{PREFIX}{field.name.upper()}" for field in fields(Settings)}
YAMLS = sorted(DEPLOY.rglob("*.yaml"))


def samples():
    """Labels by name of every sample that the server gives out."""
    found = {}
    for metric in vars(Metrics()).values():
        if not hasattr(metric, "describe"):
            continue
        (family,) = metric.describe()
        labels = set(metric._labelnames)
        if isinstance(metric, Histogram):
            found |= {f"{family.name}_{part}": labels for part in ("sum", "count")}
            found[f"{family.name}_bucket"] = labels | {"le"}
        else:
            found[f"{family.name}_total" if family.type == "counter" else family.name] = labels
    return found


SAMPLES = samples()
FAMILIES = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in SAMPLES}
OF_THE_SCRAPE = {"instance", "job", "pod", "namespace"}


def check_query(query):
    """Every metric in it exists, and every label is one that the metric or the scrape has."""
    names = set(re.findall(r"\blodisc_\w+", query))
    assert names <= SAMPLES.keys(), query
    assert query.count("(") == query.count(")"), query
    for name, selector in re.findall(r"\b(lodisc_\w+|up)\{([^}]*)\}", query):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
        assert labels <= SAMPLES.get(name, set()) | OF_THE_SCRAPE, query
    for group in re.findall(r"\bby \(([\w, ]*)\)", query):
        assert {label.strip() for label in group.split(",")} <= set.union(
            OF_THE_SCRAPE, *(SAMPLES[one] for one in names)
        )
    for route in re.findall(r'route!?=~?"([^"]*)"', query):
        assert set(route.split("|")) <= PATHS, query


def test_the_check_of_queries_finds_what_is_wrong():
    for wrong in (
        "rate(lodisc_request_total[5m])",
        'lodisc_requests_total{code="429"}',
        "sum by (stage) (lodisc_requests_total)",
        'lodisc_requests_total{route="/find"}',
        "sum(lodisc_pictures_in_flight",
    ):
        with pytest.raises(AssertionError):
            check_query(wrong)
    check_query('sum by (le) (rate(lodisc_stage_seconds_bucket{stage="queue", instance=~".*"}[5m]))')


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_file_is_yaml(path):
    assert all(isinstance(document, dict) for document in yaml.safe_load_all(path.read_text()))


def load(name):
    return yaml.safe_load((DEPLOY / name).read_text())


def test_the_dashboard_shows_what_there_is():
    dashboard = json.loads((DEPLOY / "grafana/lodisc.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for query in queries:
        check_query(query)
    # Every metric is shown.
    shown = {name for query in queries for name in re.findall(r"\blodisc_\w+", query)}
    assert {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in shown} == FAMILIES
    source = load("grafana/provisioning/datasources/prometheus.yaml")["datasources"][0]["uid"]
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source}
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = {name for query in queries for name in re.findall(r"\$(\w+)", query)}
    assert used - {"__rate_interval"} == variables
    limit = next(one for one in dashboard["templating"]["list"] if one["name"] == "limit")
    assert int(limit["query"]) == Settings().max_queued_pictures
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_alerts_ask_for_what_there_is():
    rules = [rule for group in load("prometheus/rules.yaml")["groups"] for rule in group["rules"]]
    for rule in rules:
        check_query(rule["expr"])
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
    assert len({rule["alert"] for rule in rules}) == len(rules)


def test_prometheus_reads_the_metrics_of_the_server():
    prometheus, compose = load("prometheus/prometheus.yaml"), load("compose.yaml")
    (job,) = prometheus["scrape_configs"]
    assert job["job_name"] == "lodisc"  # which the queries name
    assert job["metrics_path"] in PATHS
    ((host, port),) = [target.split(":") for target in job["static_configs"][0]["targets"]]
    assert host in compose["services"]
    assert port == exposed_port()
    key = Path(job["authorization"]["credentials_file"])
    assert key.name in compose["services"]["prometheus"]["secrets"]
    assert all((DEPLOY / "prometheus" / name).is_file() for name in prometheus["rule_files"])


def dockerfile():
    """Instructions and what follows them, lines joined."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text())
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line and not line.startswith("#")]


def exposed_port():
    (port,) = [value for word, value in dockerfile() if word == "EXPOSE"]
    return port


def test_the_image_is_made_of_what_is_there_and_sets_what_exists():
    words = dockerfile()
    copied = {
        name for word, value in words if word == "COPY" and "--from" not in value for name in shlex.split(value)[:-1]
    }
    assert all((PROJECT / name).exists() for name in copied)
    # What the build may see is what is copied, and the packages are all that the server imports.
    seen = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert seen == copied
    assert {"encoder", "index", "service", "lodisc", "bundles/demo"} <= copied
    names = {pair.partition("=")[0] for word, value in words if word == "ENV" for pair in shlex.split(value)}
    assert {name for name in names if name.startswith(PREFIX)} <= SETTINGS
    assert [value for word, value in words if word == "USER"][-1] == "10001:10001"
    command = json.loads([value for word, value in words if word == "CMD"][-1])
    assert command[command.index("serve") + 1] == "service.app:ImageRetrieval"
    assert command[command.index("--port") + 1] == exposed_port()
    (health,) = [value for word, value in words if word == "HEALTHCHECK"]
    assert f":{exposed_port()}/readyz'" in health
    python = next(value for word, value in words if word == "FROM").split()[0].removeprefix("python:").split("-")[0]
    wanted = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["requires-python"]
    low, high = (tuple(map(int, part.strip("<>=").split("."))) for part in wanted.split(","))
    assert low <= tuple(map(int, python.split("."))) < high


def test_compose():
    compose = load("compose.yaml")
    server = compose["services"]["lodisc"]
    assert {name for name in server["environment"] if name.startswith(PREFIX)} <= SETTINGS
    assert (DEPLOY / server["build"]["context"]).resolve() == PROJECT
    assert (PROJECT / server["build"]["dockerfile"]).is_file()
    assert server["read_only"] is True
    assert server["cap_drop"] == ["ALL"]
    assert server["environment"]["LODISC_CATALOGUE"] == server["volumes"][0].rpartition(":")[2]
    assert int(server["environment"]["LODISC_THREADS"]) == server["cpus"]
    assert Path(server["environment"]["LODISC_KEYS"]).name in server["secrets"]
    for one in compose["services"].values():
        assert set(one.get("secrets", ())) <= compose["secrets"].keys()
        assert all(port.startswith("127.0.0.1:") for port in one.get("ports", ()))
        assert set(one["networks"]) <= compose["networks"].keys()
        for volume in one["volumes"]:
            source = volume.split(":")[0]
            assert source.startswith("${") or source in compose["volumes"] or (DEPLOY / source).exists(), volume


def test_kubernetes():
    folder = DEPLOY / "kubernetes"
    kustomization = load("kubernetes/kustomization.yaml")
    objects = {name: load(f"kubernetes/{name}") for name in kustomization["resources"]}
    assert {path.name for path in folder.iterdir()} == {
        *objects,
        "kustomization.yaml",
        "prometheus-adapter.yaml",
    }
    deployment = objects["deployment.yaml"]
    pod = deployment["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    assert str(server["ports"][0]["containerPort"]) == exposed_port()
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[probe]["httpGet"]["path"] in PATHS
        assert server[probe]["httpGet"]["port"] == server["ports"][0]["name"]
    assert server["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert {one["name"] for one in server["env"]} <= SETTINGS
    environment = {one["name"]: one["value"] for one in server["env"]}
    Settings.from_environment(environment)
    assert environment["LODISC_THREADS"] == server["resources"]["limits"]["cpu"]
    assert pod["enableServiceLinks"] is False  # or LODISC_PORT would be set, and refused as no setting
    for container in (server, *pod["initContainers"]):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted.keys() <= {volume["name"] for volume in pod["volumes"]}
        if "keys" in mounted:
            assert str(Path(environment["LODISC_KEYS"]).parent) == mounted["keys"]
        assert mounted["catalogue"] == environment["LODISC_CATALOGUE"]
    assert pod["securityContext"]["runAsUser"] == 10001  # of the image
    # The server's own time to finish fits into what it is given before it is killed.
    command = json.loads([value for word, value in dockerfile() if word == "CMD"][-1])
    drain_s = int(command[command.index("--timeout-graceful-shutdown") + 1])
    wait_s = int(server["lifecycle"]["preStop"]["exec"]["command"][1])
    assert wait_s + drain_s < pod["terminationGracePeriodSeconds"]

    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert objects["service.yaml"]["spec"]["selector"] == labels
    assert objects["disruption.yaml"]["spec"]["selector"]["matchLabels"] == labels
    network = objects["network.yaml"]["spec"]
    assert network["podSelector"]["matchLabels"] == labels
    assert network["egress"] == []
    assert "Egress" in network["policyTypes"]
    assert str(network["ingress"][0]["ports"][0]["port"]) == exposed_port()

    scaling = objects["autoscaling.yaml"]["spec"]
    assert scaling["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    metric = scaling["metrics"][0]["pods"]
    assert metric["metric"]["name"] in SAMPLES
    assert 0 < int(metric["target"]["averageValue"]) < Settings().max_queued_pictures
    assert scaling["minReplicas"] > objects["disruption.yaml"]["spec"]["minAvailable"]
    (rule,) = load("kubernetes/prometheus-adapter.yaml")["rules"]["custom"]
    assert rule["name"]["as"] == metric["metric"]["name"]
    check_query(rule["metricsQuery"].replace("<<.LabelMatchers>>", "").replace("<<.GroupBy>>", "pod"))


@pytest.mark.parametrize("page", sorted((PROJECT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_what_the_pages_name_is_there(page):
    text = page.read_text()
    assert set(re.findall(r"\blodisc_\w+", text)) <= SAMPLES.keys() | FAMILIES | {"lodisc_"}
    known = SETTINGS | OF_OTHERS | {PREFIX, "LODISC_PORT"}
    assert set(re.findall(r"\bLODISC_\w+", text)) <= known
    for path in re.findall(r"`((?:deploy|service|bundles)/[\w./-]+)`", text):
        assert (PROJECT / path).exists(), path
