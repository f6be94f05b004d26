"""The views that wait for something, as they are written for threads."""

import threading
import time
from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

may_go_on = threading.Event()
has_left = threading.Event()
meeting = threading.Barrier(20, timeout=10)


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def lines() -> Iterator[str]:
        yield "first\n"
        may_go_on.wait(10)
        yield "second\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


@csrf_exempt
@require_POST
def release(request: HttpRequest) -> HttpResponse:
    may_go_on.set()
    return HttpResponse(status=204)


def endless(request: HttpRequest) -> StreamingHttpResponse:
    def lines() -> Iterator[str]:
        try:
            while True:
                yield "still here\n"
                time.sleep(0.01)
        finally:
            has_left.set()

    return StreamingHttpResponse(lines(), content_type="text/plain")


def left(request: HttpRequest) -> HttpResponse:
    """Answer as soon as the client of /endless is known to be gone."""
    return JsonResponse({"left": has_left.wait(10)})


def meet(request: HttpRequest) -> HttpResponse:
    """Answer when twenty requests are here at once."""
    meeting.wait()
    return JsonResponse({"met": 20})
