"""A gunicorn server that preloads a model returns bit-identical results under load."""

import concurrent.futures
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import served

from lcfast.local_conv import _openmp
from tests.support import answers

pytest.importorskip("gunicorn")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not _openmp.HAS_OPENMP, reason="built without OpenMP"),
]
WORKERS, CLIENTS, REQUESTS, SECONDS = 3, 8, 60, 60


@pytest.fixture(params=[[], ["--threads", "4"], ["--max-requests", "40"]], ids=" ".join)
def address(request, tmp_path):
    """Start gunicorn with some options; return its address and its log."""
    log = tmp_path / "log"
    command = [
        *(sys.executable, "-m", "gunicorn", "--preload", "--workers", str(WORKERS)),
        *("--bind", "127.0.0.1:0", "--error-logfile", str(log), *request.param),
        "served:application",
    ]
    here = str(Path(__file__).parent)
    paths = [here, os.environ.get("PYTHONPATH", ""), os.getcwd()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    server = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True)
    try:
        yield *listening(log, server), log
        server.send_signal(signal.SIGTERM)
        assert server.wait(SECONDS) == 0
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def listening(log, server):
    """Wait for the address in the server's log; return host and port."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and server.poll() is None:
        found = re.search(r"Listening at: http://([\d.]+):(\d+)", read(log))
        if found:
            return found[1], int(found[2])
        time.sleep(0.05)
    raise AssertionError(f"gunicorn does not listen: {read(log)}")


def read(log):
    return log.read_text() if log.exists() else ""


def request_all(host, port, x):
    """Send requests as one client; return (answer, process, threads) of each."""
    given = []
    for _ in range(REQUESTS):
        connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
        connection.request("POST", "/", x.tobytes())
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200
        made_by = int(response.headers["X-Process"]), int(response.headers["X-Threads"])
        given.append((body, *made_by))
        connection.close()
    return given


def test_gunicorn_with_preload_serves_the_right_bits_under_load(address):
    host, port, log = address
    inputs = [answers.rows(4 + client, seed=client) for client in range(CLIENTS)]
    right = [answers.MODEL.predict(x).tobytes() for x in inputs]
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        given = list(pool.map(request_all, [host] * CLIENTS, [port] * CLIENTS, inputs))
    for of_client, expected in zip(given, right, strict=True):
        assert [body == expected for body, _, _ in of_client] == [True] * REQUESTS
    processes = {process for of_client in given for _, process, _ in of_client}
    assert len(processes) >= 2
    assert min(threads for of_client in given for _, _, threads in of_client) >= served.THREADS
    assert "WORKER TIMEOUT" not in read(log)
