"""service.server.interfaces: addresses that other devices can open, and no others."""

import ipaddress
import socket
from pathlib import Path
from typing import Any

import pytest

from service.server import interfaces
from service.server.interfaces import list_addresses


def test_they_are_this_machine_s_and_beyond_loopback() -> None:
    for text in list_addresses():
        assert not ipaddress.IPv4Address(text).is_loopback
        with socket.create_server((text, 0)):
            pass


def test_an_interface_without_an_address_and_a_bridge_are_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    addresses = {"lo": "127.0.0.1", "wlan0": "192.168.1.20", "docker0": "172.17.0.1"}
    for name in ("lo", "eth0", "wlan0", "docker0/bridge"):
        (tmp_path / name).mkdir(parents=True)

    def answer(_: Any, code: int, request: bytes) -> bytes:
        assert code == 0x8915
        name, _, _ = interfaces._REQUEST.unpack(request)
        address = addresses.get(name.rstrip(b"\0").decode())
        if address is None:
            raise OSError(99, "Cannot assign requested address")
        return interfaces._REQUEST.pack(name, 0, socket.inet_aton(address))

    monkeypatch.setattr(interfaces.fcntl, "ioctl", answer)
    monkeypatch.setattr(interfaces, "_INTERFACES", tmp_path)
    assert list_addresses() == ["192.168.1.20"]


def test_a_system_that_does_not_tell_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(interfaces, "_INTERFACES", tmp_path / "absent")
    assert list_addresses() == []
