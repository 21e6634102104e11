"""The dashboard: what Grafana wants of one, and queries of metrics that exist."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.exposed import list_families, list_samples
from tests.promql import list_metrics, list_operands

FILE = Path("k8s", "components", "monitoring", "dashboard.json")
GRID = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GOLDEN = ["Traffic by status", "Shares of what fails", "Time of an answer", "Saturation"]


@pytest.fixture(scope="module")
def dashboard(repository: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((repository / FILE).read_text())
    return content


@pytest.fixture(scope="module")
def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Those with queries."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def list_queries(panels: list[dict[str, Any]]) -> Iterator[str]:
    for panel in panels:
        for target in panel["targets"]:
            yield fill_in(target["expr"])


def fill_in(query: str) -> str:
    """The query as Grafana sends it."""
    return query.replace("$__rate_interval", "1m").replace("$job", ".*").replace("$instance", ".*")


def test_identity(dashboard: dict[str, Any]) -> None:
    assert dashboard["id"] is None, "or an import overwrites whatever has this number"
    assert dashboard["uid"] == dashboard["title"] == "bnn-service"


def test_panels_are_told_apart_and_do_not_overlap(dashboard: dict[str, Any]) -> None:
    numbers = Counter(panel["id"] for panel in dashboard["panels"])
    assert max(numbers.values()) == 1
    titles = Counter(panel["title"] for panel in dashboard["panels"])
    assert {title for title, count in titles.items() if count > 2} == set()
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= GRID
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} covers {taken[x, y]}"
                taken[x, y] = panel["title"]


def test_the_golden_signals_come_first(dashboard: dict[str, Any]) -> None:
    graphs = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "timeseries"]
    assert graphs[:4] == GOLDEN
    assert dashboard["panels"][0]["type"] == "stat"


def test_each_panel_says_what_it_shows(panels: list[dict[str, Any]]) -> None:
    for panel in panels:
        assert len(panel["description"]) > 10, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == SOURCE
        assert panel["targets"], panel["title"]
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert all(legends), panel["title"]
        assert len(set(legends)) == len(legends), panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(legends)
        assert all(target["datasource"] == SOURCE for target in panel["targets"])
        for override in panel["fieldConfig"]["overrides"]:
            assert override["matcher"]["options"] in legends, panel["title"]


def test_legends_name_labels_that_the_query_leaves(panels: list[dict[str, Any]]) -> None:
    for panel in panels:
        for target in panel["targets"]:
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                grouped = re.match(
                    r"(?:sum|max|min|histogram_quantile).*?by \(([\w, ]+)\)", target["expr"]
                )
                assert grouped is None or label in grouped[1].split(", "), target


def test_variables(dashboard: dict[str, Any]) -> None:
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "instance"]
    assert variables["datasource"]["type"] == "datasource"
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard))) - {"__rate_interval", "__all"}
    assert used == variables.keys()


def test_every_query_can_be_restricted_to_an_instance(panels: list[dict[str, Any]]) -> None:
    for panel in panels:
        for target in panel["targets"]:
            selectors = re.findall(r"(?:bnn|process)_\w+({[^}]*})?", target["expr"])
            assert selectors
            assert all('job=~"$job",instance=~"$instance"' in one for one in selectors), target


def test_queries_ask_for_metrics_that_exist(
    dashboard: dict[str, Any], panels: list[dict[str, Any]]
) -> None:
    for query in list_queries(panels):
        assert list_metrics(query) <= list_samples(), query
        assert list_operands(query)
    for annotation in dashboard["annotations"]["list"]:
        assert list_metrics(fill_in(annotation["expr"])) <= list_samples() | {"ALERTS"}


def test_every_family_is_on_a_panel(panels: list[dict[str, Any]]) -> None:
    """What is worth measuring is worth seeing."""
    shown = {name for query in list_queries(panels) for name in list_metrics(query)}
    shown = {re.sub(r"_(total|info|bucket|sum|count)$", "", name) for name in shown}
    # Addresses in use say nothing on 64 bits; the phases are shown, which have it.
    assert list_families() - shown == {"process_virtual_memory_bytes"}
