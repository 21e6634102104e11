"""What a service says of itself, and one that says nothing."""

from loadtests.users.services import describe_service, read_info
from tests.loadtests.stub_service import StubService, run_stub


def test_info_is_read() -> None:
    with run_stub(StubService(pages={"/info": {"model": {"name": "net"}}}, delay=0)) as address:
        assert read_info(address) == {"model": {"name": "net"}}
    with run_stub(StubService(delay=0)) as address:
        assert read_info(address) == {}


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
