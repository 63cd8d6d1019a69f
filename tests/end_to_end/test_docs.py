"""What pages in docs/ show can be read by what it is for, as far as that can be seen without a cluster."""

import re
from pathlib import Path

import yaml

from index.milvus.address import parse_address
from index.store_file import read_store
from service.front_door import UNLOGGED

PAGE = (Path(__file__).parents[2] / "docs" / "larger-than-one-machine.md").read_text(encoding="utf-8")


def kubernetes_objects():
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return [one for block in blocks for one in yaml.safe_load_all(block) if "kind" in one]


def test_the_kubernetes_sketch_is_yaml_of_named_objects():
    assert [one["kind"] for one in kubernetes_objects()] == [
        "RayJob", "ConfigMap", "Deployment", "Service", "HorizontalPodAutoscaler",
    ]  # fmt: skip
    for one in kubernetes_objects():
        assert "apiVersion" in one
        assert "name" in one["metadata"]
        assert "data" in one if one["kind"] == "ConfigMap" else "spec" in one


def test_the_config_map_is_a_folder_that_names_its_store(tmp_path):
    (store,) = (one for one in kubernetes_objects() if one["kind"] == "ConfigMap")
    for name, text in store["data"].items():
        (tmp_path / name).write_text(text)
    assert parse_address(read_store(tmp_path)).uri == "http://milvus:19530"


def test_the_probes_ask_routes_of_the_service_at_its_port():
    _, _, deployment, service, _ = kubernetes_objects()
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
