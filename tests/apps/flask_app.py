"""A Flask application, written as its users write them."""

import hashlib
import threading
import time
from collections.abc import Iterator

from flask import Flask, Response, jsonify, request, stream_with_context

app = Flask(__name__)

may_go_on = threading.Event()
has_left = threading.Event()
meeting = threading.Barrier(20, timeout=10)


@app.get("/")
def home() -> Response:
    return jsonify(framework="flask", started=None)


@app.get("/items/<int:id>")
def item(id: int) -> Response:
    return jsonify(id=id, q=request.args.get("q"), tags=request.args.getlist("tag"))


@app.post("/items")
def create() -> tuple[Response, int]:
    return jsonify(request.get_json()), 201


@app.post("/upload")
def upload() -> Response:
    file = request.files["file"]
    content = file.read()
    return jsonify(
        note=request.form["note"],
        filename=file.filename,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


@app.get("/stream")
def stream() -> Response:
    def lines() -> Iterator[str]:
        yield "first\n"
        assert may_go_on.wait(10)
        yield "second\n"

    return Response(stream_with_context(lines()), mimetype="text/plain")


@app.post("/release")
def release() -> tuple[str, int]:
    may_go_on.set()
    return "", 204


@app.get("/endless")
def endless() -> Response:
    def lines() -> Iterator[str]:
        try:
            while True:
                yield "still here\n"
                time.sleep(0.01)
        finally:
            has_left.set()

    return Response(lines(), mimetype="text/plain")


@app.get("/left")
def left() -> Response:
    """Answer as soon as the client of /endless is known to be gone."""
    return jsonify(left=has_left.wait(10))


@app.get("/meet")
def meet() -> Response:
    """Answer when twenty requests are here at once."""
    meeting.wait()
    return jsonify(met=20)


@app.get("/fail")
def fail() -> Response:
    raise RuntimeError(f"deliberate: {request.args['why']}")
