"""fence_kappa keeps the whole Fence Agent API, before a real kappa-powerd whose engine misbehaves in known ways."""

import shutil
import socket

import pytest

from resource_agents.commands.conformance.registry import FAIL, NOT_APPLICABLE
from tests.bench import fence_conformance
from tests.unit.stonith import devices


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("openssl"), reason="the engine's TLS needs openssl for its certificate")
def test_our_own_fence_agent_passes_all_of_it() -> None:
    (report,) = fence_conformance.made(["fence_kappa"])
    assert {one.name: one.evidence for one in report.results if one.verdict == FAIL} == {}
    # the schema is Debian's, and a tree that is closed to others cannot be tried by them
    left_out = {one.name: one.evidence for one in report.results if one.verdict == NOT_APPLICABLE}
    assert set(left_out) <= {"metadata-unprivileged", "metadata-schema"}, left_out


def test_a_gate_that_is_shut_refuses_and_opens_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as behind:
        gate = devices.Gate(behind.getsockname()[1])
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", gate.port), 10) as near:
                near.sendall(b"word\n")
                far, _ = behind.accept()
                with far:
                    far.settimeout(10)
                    assert far.recv(100) == b"word\n"
            gate.turn(False)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", gate.port), 10)
            gate.turn(True)
        gate.turn(False)
