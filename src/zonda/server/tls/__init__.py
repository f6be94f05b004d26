"""TLS above the reactor: contexts from settings, the handshake, what applications are told."""
