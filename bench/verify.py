"""Whether a server answers right, and on equal terms, before it is measured."""

import ssl
from collections.abc import Sequence

from answers import AnswerError, connected, fetch
from apps import LOOP_MARK
from cases import Case
from frames import BINARY, CLOSE, NORMAL, TEXT, frame, read_frame, upgrade
from servers import Running, ServerError

TWICE = 2
"""So that a connection is also used again."""


def verify(running: Running, case: Case) -> Sequence[str]:
    """Raises ServerError unless the server answers the case right, on the loop it should run on.

    Returns what a reader must know of how it did.
    """
    name = running.server.name
    try:
        notes = echoes(running, case) if case.over == "ws" else responses(running, case)
    except (OSError, ValueError) as error:
        raise ServerError(f"{name}, {case.name!r}: {error}\n{running.log_tail()}") from error
    if not running.server.only_canned:
        mark = LOOP_MARK + running.server.loop
        if mark not in running.log.read_text(errors="replace"):
            raise ServerError(
                f"{name} does not run on {running.server.loop}:\n{running.log_tail()}"
            )
    return notes


def responses(running: Running, case: Case) -> list[str]:
    """Over HTTP or HTTPS: status, body and the fields that all servers must send."""
    notes = []
    answers = fetch(
        running.port, case.request, pipelined=case.pipelined, times=TWICE, tls=running.tls
    )
    for answer in answers:
        if answer.status != 200 or answer.body != case.answer:
            raise AnswerError(
                f"answers wrongly: status {answer.status}, {len(answer.body)} bytes of body "
                f"instead of {len(case.answer)}, {answer.body[:60]!r}"
            )
        for field in ("date", "server"):
            if field not in answer.headers:
                raise AnswerError(f"sends no {field}: not on equal terms")
    if "x-sent-by" in answers[0].headers:
        notes.append(f"{running.server.name} sends the file by {answers[0].headers['x-sent-by']}")
    if running.tls is not None:
        notes.append(f"{running.server.name} speaks {agreed(running)}")
    return notes


def agreed(running: Running) -> str:
    """The version of TLS and the cipher that a client with OpenSSL's defaults gets, as wrk is."""
    with connected(running.port, running.tls) as (client, _):
        if not isinstance(client, ssl.SSLSocket):
            raise AnswerError("no TLS")
        cipher = client.cipher()
        return f"{client.version()}, {cipher[0] if cipher else 'no cipher'}"


def echoes(running: Running, case: Case) -> list[str]:
    """Over WebSocket: the message comes back as it is, of its kind, and a Close is answered."""
    opcode = TEXT if case.text else BINARY
    with connected(running.port) as (client, source):
        upgrade(client, source)
        for _ in range(TWICE):
            client.sendall(frame(opcode, case.request))
            echo = read_frame(source)
            if echo.opcode != opcode or echo.deflated or echo.payload != case.answer:
                raise AnswerError(
                    f"echoes wrongly: opcode {echo.opcode} instead of {opcode}, "
                    f"{len(echo.payload)} bytes instead of {len(case.answer)}"
                )
        client.sendall(frame(CLOSE, NORMAL))
        answer = read_frame(source)
        if answer.opcode != CLOSE:
            raise AnswerError(f"answers a Close with opcode {answer.opcode}")
    return []
