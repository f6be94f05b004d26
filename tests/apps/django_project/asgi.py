"""The project as an ASGI application: static files before its views, Channels for WebSockets."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.apps.django_project.settings")

views = ASGIStaticFilesHandler(get_asgi_application())

from tests.apps.django_project import consumers  # noqa: E402 (Django must be set up first)

application = ProtocolTypeRouter(
    {
        "http": views,
        "websocket": URLRouter(
            [
                path("ws/echo", consumers.Echo.as_asgi()),
                path("ws/json/<str:room>", consumers.Json.as_asgi()),
                path("ws/close", consumers.Close.as_asgi()),
                path("ws/refused", consumers.Refused.as_asgi()),
                path("ws/denied", consumers.Denied.as_asgi()),
                path("ws/room", consumers.Room.as_asgi()),
            ]
        ),
    }
)
