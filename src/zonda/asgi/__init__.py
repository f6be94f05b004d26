"""The ASGI contract: typed scopes and events, and what server and toolkit share of it."""
