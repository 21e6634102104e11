"""BNN_ variables that are no settings: misspelt ones, and what Kubernetes adds for its Services."""

import logging
import os
import re
from collections.abc import Mapping

from service.settings.settings import OTHER_VARIABLES, PREFIX, Settings, name_variable
from service.settings.toml_file import find_nearest

_log = logging.getLogger(__name__)
_HOST = re.compile(rf"({PREFIX.removesuffix('_')}(?:_[A-Z0-9_]+)?)_SERVICE_HOST")
_LINK = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?"
    r"|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


def list_service_links(environment: Mapping[str, str] = os.environ) -> dict[str, list[str]]:
    """Variables that Kubernetes sets in every Pod for a Service whose name begins with bnn.

    By the Service's name, settings left out. Each such Service sets NAME_SERVICE_HOST, NAME_PORT,
    NAME_PORT_80_TCP_ADDR and others.
    """
    names = {
        match[1]
        for name in environment
        if (match := _HOST.fullmatch(name)) and f"{match[1]}_SERVICE_PORT" in environment
    }
    links: dict[str, list[str]] = {}
    for name in sorted(set(environment) - _list_settings()):
        for service in sorted(names, key=len, reverse=True):  # bnn-service before bnn
            if name.startswith(service) and _LINK.fullmatch(name.removeprefix(service)):
                links.setdefault(service.lower().replace("_", "-"), []).append(name)
                break
    return links


def list_unknown_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """BNN_ variables that nothing here reads and no Service explains: most likely misspelt."""
    explained = {name for names in list_service_links(environment).values() for name in names}
    return sorted(
        name
        for name in environment
        if name.upper().startswith(PREFIX)
        and name.upper() not in _list_settings()
        and name not in explained
    )


def log_unknown_variables(environment: Mapping[str, str] = os.environ) -> None:
    """One warning for each misspelt variable, one line for all that come from a Service."""
    for name in list_unknown_variables(environment):
        nearest = find_nearest(name.upper(), _list_settings())
        _log.warning(
            "unknown setting ignored",
            extra={"setting": name} | ({"nearest": nearest} if nearest else {}),
        )
    for service, names in list_service_links(environment).items():
        _log.info(
            "variables of a Kubernetes Service ignored; enableServiceLinks: false in the Pod "
            "leaves them out",
            extra={"kubernetes_service": service, "variables": ", ".join(names)},
        )


def _list_settings() -> set[str]:
    return {name_variable(field) for field in Settings.model_fields} | OTHER_VARIABLES.keys()
