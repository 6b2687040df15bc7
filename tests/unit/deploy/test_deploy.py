"""What is deployed is what is there: each metric that is watched is exposed, each command and setting is ours."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import promql
import pytest
import typer
import yaml
from prometheus_client.parser import text_string_to_metric_families

from neural_foundation.cli import app
from neural_foundation.serving.metrics import PREFIX, Metrics
from neural_foundation.serving.settings import Limits, ServeSettings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
BOARD = DEPLOY / "grafana/neural-foundation.json"
ALERTS = DEPLOY / "prometheus/alerts.yaml"
QUERIES = [*promql.of_rules(ALERTS), *promql.of_dashboard(BOARD)]
OF_PROMETHEUS = {"up"}
OF_SCRAPES = {"job", "instance"}
query = pytest.mark.parametrize(("where", "text"), QUERIES, ids=[f"{n}-{w}" for n, (w, _) in enumerate(QUERIES)])


def documents(path: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / path).read_text()))


@cache
def exposed() -> dict[str, tuple[str, set[str]]]:
    """Return what a server exposes: series name -> its type and its labels."""
    metrics = Metrics()
    metrics.of_task("t")
    labels = {m._name: set(m._labelnames) for m in vars(metrics).values() if hasattr(m, "_labelnames")}
    found: dict[str, tuple[str, set[str]]] = {}
    for family in text_string_to_metric_families(metrics.exposition()[0].decode()):
        own = labels.get(family.name, set()) | {n for s in family.samples for n in s.labels}
        names = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        found |= {f"{family.name}{n}": (family.type, own) for n in names}
    return found


# ---- dashboard and alerts -------------------------------------------------------------------------------------------


def test_there_is_something_to_check() -> None:
    assert len(QUERIES) > 50


@query
def test_each_expression_parses_and_each_metric_in_it_is_exposed(where: str, text: str) -> None:
    found = promql.parse(text)
    missing = found.metrics - set(exposed()) - OF_PROMETHEUS
    assert not missing, f"{where}: {missing}"
    own = set().union(*(exposed()[m][1] for m in found.metrics - OF_PROMETHEUS))
    assert found.labels <= own | OF_SCRAPES, f"{where}: no metric here has {found.labels - own - OF_SCRAPES}"


@query
def test_rates_are_of_counters_and_quantiles_keep_their_buckets(where: str, text: str) -> None:
    found = promql.parse(text)
    assert all(exposed()[m][0] in ("counter", "histogram") for m in found.counted), where
    assert all("le" in kept for kept in found.quantiles), where
    counters = {m for m in found.metrics if exposed().get(m, ("",))[0] == "counter"}
    assert counters <= found.counted, f"{where}: the value of a counter alone says nothing"


def test_each_metric_of_ours_is_on_the_dashboard() -> None:
    shown = set().union(*(promql.parse(text).metrics for _, text in promql.of_dashboard(BOARD)))
    families = {re.sub("_(bucket|sum|count)$", "", m) for m in exposed() if m.startswith(PREFIX)}
    assert families == {re.sub("_(bucket|sum|count)$", "", m) for m in shown if m.startswith(PREFIX)}


def test_the_dashboard_is_whole() -> None:
    board = json.loads(BOARD.read_text())
    panels = promql.panels(board)
    assert len({p["id"] for p in panels}) == len(panels)
    assert board["uid"] == "neural-foundation"
    variables = {v["name"] for v in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(board))) - {"__rate_interval"}
    assert used <= variables
    for panel in panels:
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert [t["refId"] for t in panel["targets"]] == [chr(65 + n) for n in range(len(panel["targets"]))]


def test_no_panel_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in promql.panels(json.loads(BOARD.read_text())):
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_legends_and_messages_name_labels_that_are_left() -> None:
    for rule in (r for g in documents("prometheus/alerts.yaml")[0]["groups"] for r in g["rules"]):
        told = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        kept = promql.parse(rule["expr"]).labels | OF_SCRAPES
        assert told <= kept, rule["alert"]
    for panel in promql.panels(json.loads(BOARD.read_text())):
        for target in panel.get("targets", ()):
            told = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert told <= promql.parse(promql.filled(target["expr"])).labels, panel["title"]


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    rules = [r for g in documents("prometheus/alerts.yaml")[0]["groups"] for r in g["rules"]]
    assert len({r["alert"] for r in rules}) == len(rules)
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))


def test_prometheus_scrapes_what_the_rules_watch() -> None:
    (config,) = documents("prometheus/prometheus.yaml")
    (job,) = config["scrape_configs"]
    assert config["rule_files"] == [ALERTS.name]
    assert job["metrics_path"] == "/metrics"
    assert all(f'job="{job["job_name"]}"' in text for _, text in promql.of_rules(ALERTS))


# ---- commands and settings ------------------------------------------------------------------------------------------


def parsed(words: list[str]) -> dict[str, Any]:
    """Return what the command line makes of the words, without running them; it exits on what it does not know."""
    command: Any = typer.main.get_command(app)
    while words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    params: dict[str, Any] = command.make_context("x", list(words)).params
    return params


def dockerfile() -> str:
    return (DEPLOY / "docker/Dockerfile").read_text()


def test_the_image_runs_a_command_of_ours() -> None:
    words = json.loads(dockerfile().rpartition("\nCMD ")[2].replace("\\\n", ""))
    params = parsed(words)
    assert (params["host"], params["port"], params["logs"]) == ("0.0.0.0", 8080, "json")
    assert params["keys"], "a server that others reach has keys"
    state = re.findall(r"^VOLUME (\S+)$", dockerfile(), re.MULTILINE)[0]
    assert all(str(params[n]).startswith(f"{state}/") for n in ("keys", "state"))


def test_the_image_is_built_as_everything_else_is_and_runs_as_nobody_in_particular() -> None:
    text = dockerfile()
    assert f"torch=={pin('torch')}" in text
    assert re.findall(r"^FROM python:(\S+)", text, re.MULTILINE)[0].startswith("3.11-")
    assert "USER 10001:10001" in text.rpartition("FROM ")[2]
    assert "STOPSIGNAL SIGTERM" in text
    assert "/v2/health/live" in text
    for name in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / one).exists() for one in name.split())
        assert all(f"!{one}" in (DEPLOY / "docker/Dockerfile.dockerignore").read_text() for one in name.split())


def pin(library: str) -> str:
    return re.findall(rf"^{library}==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[0]


def test_compose_mounts_what_is_there_and_names_commands_of_ours() -> None:
    (compose,) = documents("docker/compose.yaml")
    for service in compose["services"].values():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source in compose["volumes"] or source.startswith("$") or (DEPLOY / "docker" / source).exists()
    server = compose["services"]["server"]
    assert server["read_only"] is True
    assert server["cap_drop"] == ["ALL"]
    assert all(p.startswith("127.0.0.1:") for s in compose["services"].values() for p in s.get("ports", ()))
    said = (DEPLOY / "docker/compose.yaml").read_text().replace("\\\n#", "")
    commands = re.findall(r"--rm server (.+?)(?: >.*)?$", said, re.MULTILINE)
    assert [parsed(shlex.split(c))["who"] for c in commands] == ["lab", "prometheus"]


def test_systemd_runs_a_command_of_ours_with_settings_of_ours() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "systemd/neural-foundation.service")
    service = unit["Service"]
    words = shlex.split(service["ExecStart"])
    assert Path(parsed(words[1:])["config"]).name == "server.yaml"
    settings = ServeSettings.model_validate(documents("systemd/server.yaml")[0])
    assert settings.secured
    assert settings.tls_key
    assert settings.state == Path("/var/lib") / service["StateDirectory"] / "states"
    assert float(service["TimeoutStopSec"]) > settings.limits.drain_s + 5
    assert service["User"] != "root"
    assert service["ProtectSystem"] == "strict"
    assert "MemoryDenyWriteExecute" not in service, "compiled loops need it"


# ---- kubernetes -----------------------------------------------------------------------------------------------------


def stateful() -> dict[str, Any]:
    (found,) = documents("kubernetes/statefulset.yaml")
    return found


def server() -> dict[str, Any]:
    (found,) = stateful()["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_each_file_is_listed_and_each_has_a_kind_and_a_name() -> None:
    (listed,) = documents("kubernetes/kustomization.yaml")
    files = {p.name for p in (DEPLOY / "kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
    assert set(listed["resources"]) == files
    for name in files:
        assert all(d["apiVersion"] and d["kind"] and d["metadata"]["name"] for d in documents(f"kubernetes/{name}"))


def test_the_pod_runs_a_command_of_ours_where_it_is_probed() -> None:
    params = parsed(server()["args"])
    (port,) = server()["ports"]
    assert params["port"] == port["containerPort"]
    assert params["host"] == "0.0.0.0"
    probes = {n: server()[n]["httpGet"] for n in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {p["port"] for p in probes.values()} == {port["name"]}
    assert probes["livenessProbe"]["path"] == probes["startupProbe"]["path"] == "/v2/health/live"
    assert probes["readinessProbe"]["path"] == "/v2/health/ready"


def test_the_pod_has_time_to_drain() -> None:
    spec = stateful()["spec"]["template"]["spec"]
    first_s = float(server()["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] > first_s + Limits().drain_s + 5


def test_the_pod_may_do_nothing_that_it_need_not() -> None:
    spec = stateful()["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert str(spec["securityContext"]["runAsUser"]) in dockerfile()
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


def test_what_is_mounted_is_a_volume_and_what_is_selected_is_the_pod() -> None:
    spec = stateful()["spec"]["template"]["spec"]
    volumes = {v["name"] for v in spec["volumes"]} | {
        v["metadata"]["name"] for v in stateful()["spec"]["volumeClaimTemplates"]
    }
    used = {m["name"] for c in (*spec["initContainers"], *spec["containers"]) for m in c["volumeMounts"]}
    assert used == volumes
    writable = [m["mountPath"] for m in server()["volumeMounts"] if not m.get("readOnly")]
    params = parsed(server()["args"])
    assert all(any(str(params[n]).startswith(w) for w in writable) for n in ("keys", "state"))
    labels = stateful()["spec"]["template"]["metadata"]["labels"]
    services = documents("kubernetes/service.yaml")
    assert all(s["spec"]["selector"] == labels for s in services)
    assert stateful()["spec"]["serviceName"] in {s["metadata"]["name"] for s in services}
    for name in ("networkpolicy", "disruption"):
        chosen = documents(f"kubernetes/{name}.yaml")[0]["spec"]
        assert (chosen.get("podSelector") or chosen["selector"])["matchLabels"] == labels


def test_no_secret_is_part_of_it() -> None:
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            assert not re.search(r"nf_[a-z0-9]{8}_|eyJ|PRIVATE KEY|password", path.read_text()), path
