"""What pages in docs/ show can be read by what it is for, as far as that can be seen without a cluster."""

import re
from pathlib import Path

import yaml

from service.front_door import UNLOGGED

PAGE = (Path(__file__).parents[2] / "docs" / "larger-than-one-machine.md").read_text(encoding="utf-8")


def kubernetes_objects():
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return [one for block in blocks for one in yaml.safe_load_all(block) if "kind" in one]


def test_the_kubernetes_sketch_is_yaml_of_named_objects():
    assert [one["kind"] for one in kubernetes_objects()] == [
        "RayJob", "Deployment", "Service", "HorizontalPodAutoscaler",
    ]  # fmt: skip
    assert all("apiVersion" in one and "name" in one["metadata"] and "spec" in one for one in kubernetes_objects())


def test_the_probes_ask_routes_of_the_service_at_its_port():
    _, deployment, service, _ = kubernetes_objects()
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probes = [container[name]["httpGet"] for name in ("livenessProbe", "readinessProbe")]
    assert [probe["path"] for probe in probes] == ["/livez", "/readyz"]
    assert {probe["path"] for probe in probes} <= UNLOGGED
    port = int(container["args"][container["args"].index("--port") + 1])
    assert {probe["port"] for probe in probes} == {port} == {service["spec"]["ports"][0]["targetPort"]}


def test_the_rayjob_has_the_pinned_version():
    job = kubernetes_objects()[0]
    constraints = (Path(__file__).parents[2] / "constraints.txt").read_text(encoding="utf-8")
    assert f"ray=={job['spec']['rayClusterSpec']['rayVersion']}\n" in constraints
