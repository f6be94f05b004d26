"""Views, sync and async, as Django's users write them."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from tests.apps.django_project.consumers import ends

# There is no lifespan to make these in. They belong to no loop until one waits for them.
may_go_on = asyncio.Event()
has_left = asyncio.Event()
meeting = asyncio.Barrier(20)


def home(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"framework": "django", "started": None})


def item(request: HttpRequest, number: int) -> HttpResponse:
    return JsonResponse(
        {"id": number, "q": request.GET.get("q"), "tags": request.GET.getlist("tag")}
    )


@csrf_exempt
@require_POST
def create(request: HttpRequest) -> HttpResponse:
    return JsonResponse(json.loads(request.body), status=201)


@csrf_exempt
@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return JsonResponse(
        {
            "note": request.POST["note"],
            "filename": file.name,
            "size": file.size,
            "sha256": digest.hexdigest(),
        }
    )


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def lines() -> AsyncIterator[str]:
        yield "first\n"
        await may_go_on.wait()
        yield "second\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


@csrf_exempt
@require_POST
async def release(request: HttpRequest) -> HttpResponse:
    may_go_on.set()
    return HttpResponse(status=204)


async def endless(request: HttpRequest) -> StreamingHttpResponse:
    async def lines() -> AsyncIterator[str]:
        try:
            while True:
                yield "still here\n"
                await asyncio.sleep(0.01)
        finally:
            has_left.set()

    return StreamingHttpResponse(lines(), content_type="text/plain")


async def left(request: HttpRequest) -> HttpResponse:
    """Answer as soon as the client of /endless is known to be gone."""
    async with asyncio.timeout(10):
        await has_left.wait()
    return JsonResponse({"left": True})


async def meet(request: HttpRequest) -> HttpResponse:
    """Answer when twenty requests are here at once."""
    async with asyncio.timeout(10):
        await meeting.wait()
    return JsonResponse({"met": 20})


async def ended(request: HttpRequest) -> HttpResponse:
    """Answer with the code that an echo ended with, as soon as one has."""
    async with asyncio.timeout(10):
        return JsonResponse({"code": await ends.get()})


def fail(request: HttpRequest) -> HttpResponse:
    raise RuntimeError(f"deliberate: {request.GET['why']}")
