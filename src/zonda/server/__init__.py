"""The server: from sockets through the codecs to ASGI applications.

`zonda.server.server` has what a program needs to run one.
"""
