"""The codecs: bytes to events and back, without sockets, clocks or anything else of ours."""
