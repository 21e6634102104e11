"""service.settings.environment: misspelt variables, and those of Kubernetes Services."""

import logging

import pytest

from service.settings.environment import (
    list_service_links,
    list_unknown_variables,
    log_unknown_variables,
)


def link(service: str, port: int = 80, name: str = "") -> dict[str, str]:
    """What a kubelet sets for a Service: kubelet/envvars makes it so."""
    base = service.upper().replace("-", "_")
    own = f"{base}_PORT_{port}_TCP"
    variables = {
        f"{base}_SERVICE_HOST": "10.96.0.5",
        f"{base}_SERVICE_PORT": str(port),
        f"{base}_PORT": f"tcp://10.96.0.5:{port}",
        own: f"tcp://10.96.0.5:{port}",
        f"{own}_PROTO": "tcp",
        f"{own}_PORT": str(port),
        f"{own}_ADDR": "10.96.0.5",
    }
    return variables | ({f"{base}_SERVICE_PORT_{name.upper()}": str(port)} if name else {})


def test_misspelt_variables_are_listed() -> None:
    known = dict.fromkeys(("BNN_PORT", "BNN_FORCE_IMPLEMENTATION", "BNN_CONFIG", "PATH"), "1")
    assert list_unknown_variables(known) == []
    assert list_unknown_variables({**known, "BNN_PROT": "1", "bnn_x": "2"}) == ["BNN_PROT", "bnn_x"]


@pytest.mark.parametrize("service", ["bnn", "bnn-service", "bnn-a-b"])
def test_the_variables_of_a_service_are_its_own(service: str) -> None:
    environment = link(service, 80, "http-main".replace("-", "_"))
    assert list_unknown_variables(environment) == []
    assert list_service_links(environment) == {
        service: sorted(environment.keys() - {"BNN_PORT"})  # which is a setting
    }


def test_services_whose_names_begin_alike_are_told_apart() -> None:
    short, long = link("bnn"), link("bnn-service", 8000)
    links = list_service_links(short | long)
    assert links["bnn-service"] == sorted(long)
    assert set(links["bnn"]) == short.keys() - long.keys() - {"BNN_PORT"}


def test_a_misspelt_variable_beside_a_service_is_still_one() -> None:
    environment = {**link("bnn"), "BNN_PORTS": "80", "BNN_SERVICE_HOSTS": "x"}
    assert list_unknown_variables(environment) == ["BNN_PORTS", "BNN_SERVICE_HOSTS"]
    assert list_unknown_variables({"BNN_SERVICE_HOST": "x"}) == ["BNN_SERVICE_HOST"]  # no port


def test_a_line_for_each_misspelt_one_and_one_for_a_service(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        log_unknown_variables({**link("bnn"), "BNN_PROT": "1", "BNN_ZZZZZZ": "1", "HOME": "/"})
    records = [vars(record) for record in caplog.records]
    assert [record["levelname"] for record in records] == ["WARNING", "WARNING", "INFO"]
    assert (records[0]["setting"], records[0]["nearest"]) == ("BNN_PROT", "BNN_PORT")
    assert "nearest" not in records[1]
    assert records[2]["kubernetes_service"] == "bnn"
    assert "BNN_PORT_80_TCP_ADDR" in records[2]["variables"]
    assert "enableServiceLinks: false" in caplog.text
