"""What a service says of itself, and one that says nothing."""

from loadtests.users.services import (
    UNKNOWN,
    Consumption,
    describe_service,
    parse_metrics,
    read_consumption,
    read_info,
)
from tests.loadtests.stub_service import StubService, run_stub


def test_metrics_and_info_are_read() -> None:
    service = StubService(pages={"/info": {"model": {"name": "net"}}}, cpu_per_image=0.25, delay=0)
    service.requests["POST", "/", ""] = 4
    with run_stub(service) as address:
        assert read_consumption(address) == Consumption(1.0, 5e7)
        assert read_info(address) == {"model": {"name": "net"}}
    with run_stub(StubService(delay=0)) as address:
        assert read_consumption(address) == UNKNOWN
        assert read_info(address) == {}


def test_samples_with_labels_and_damaged_text_are_passed_over() -> None:
    assert parse_metrics('a 1\nb{c="d"} 2\n') == {"a": 1}
    assert parse_metrics("{ { {") == {}


def test_what_it_serves() -> None:
    accuracy = {"top1": 86.02, "images": 4084}
    model = {"name": "net", "id": "abc", "input": {"shape": [3, 160, 128]}}
    info = {
        "model": {**model, "training": {"data": "photos", "accuracy": accuracy}},
        "engine": {"name": "native", "implementation": "avx2"},
        "versions": {"service": "0.1.0"},
    }
    assert describe_service(info) == {
        "model": "net abc",
        "engine": "native/avx2",
        "image size": "128x160",
        "accuracy": "86.02 % top-1, 4084 images of photos",
        "service": "0.1.0",
    }
    assert set(describe_service({}).values()) == {"unknown"}
