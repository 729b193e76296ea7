"""A WSGI application that scores the rows in a request's body; gunicorn preloads it."""

import os

import numpy as np

import lcfast
from tests.support import answers

THREADS = 3

lcfast.set_num_threads(THREADS)
# A parallel call before the workers are forked, as a preloading server may do to warm up.
WARM = answers.MODEL.predict(answers.X)


def application(environment, start_response):
    """Reply with the bytes of the scores; headers name the process and its thread count."""
    body = environment["wsgi.input"].read(int(environment["CONTENT_LENGTH"]))
    x = np.frombuffer(body, np.float32).reshape(-1, 34, 34, 8)
    scores = answers.MODEL.predict(x).tobytes()
    answers.MODEL.layers[0](x)  # the pool keeps as many threads as the last call used
    headers = [
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", str(len(scores))),
        ("X-Process", str(os.getpid())),
        ("X-Threads", str(answers.threads_of_this_process())),
    ]
    start_response("200 OK", headers)
    return [scores]
