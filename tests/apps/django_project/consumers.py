"""WebSocket consumers of Channels, sync and async."""

import asyncio
from typing import Any

from channels.exceptions import DenyConnection
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    WebsocketConsumer,
)

ends: asyncio.Queue[int] = asyncio.Queue()


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)

    async def disconnect(self, code: int) -> None:
        ends.put_nowait(code)


class Json(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        self.room = self.scope["url_route"]["kwargs"]["room"]
        self.name = dict(
            pair.split("=") for pair in self.scope["query_string"].decode().split("&")
        )["name"]
        offered = self.scope["subprotocols"]
        await self.accept(
            "chat" if "chat" in offered else None, headers=[(b"x-room", self.room.encode())]
        )

    async def receive_json(self, content: dict[str, Any]) -> None:
        await self.send_json({"room": self.room, "name": self.name, "said": content})


class Close(WebsocketConsumer):
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.close(4001, "enough")


class Refused(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.close()


class Denied(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        raise DenyConnection


class Room(AsyncWebsocketConsumer):
    """Whatever anyone says goes to the whole group."""

    async def connect(self) -> None:
        await self.channel_layer.group_add("room", self.channel_name)
        await self.accept()
        await self.send("joined")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.channel_layer.group_send("room", {"type": "said", "text": text_data})

    async def said(self, event: dict[str, Any]) -> None:
        await self.send(event["text"])

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard("room", self.channel_name)
