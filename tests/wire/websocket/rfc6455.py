"""The clauses of RFC 6455 that bind a server: every MUST and MUST NOT.

Sections 4.1 (but for what the response must be), 10.3 and 11 bind clients, and are left out.
"""

from __future__ import annotations

from tests.wire.clause import APPLICATION, CLIENT, INTERMEDIARY, TLS, Clause

# Over the wire, where a server keeps what a codec cannot.
H = "server/test_websocket_handshake.py::"
M = "server/test_websocket_messages.py::"
C = "server/test_websocket_closing.py::"
K = "server/test_websocket_keepalive.py::"
L = "server/test_websocket_limits.py::"

WEBSOCKET = [
    # 4.2.1 Reading the client's opening handshake
    Clause(
        "6455-4.2.1-refuse",
        "MUST",
        "A handshake that does not match is answered with an error code.",
        (
            "test_handshake.py::test_an_upgrade_to_something_else_is_refused",
            "test_handshake.py::test_a_subprotocol_that_is_not_a_token_is_refused",
            "test_handshake.py::test_extensions_that_break_the_grammar_are_refused",
            H + "test_a_handshake_that_does_not_match_is_answered_400",
        ),
    ),
    Clause(
        "6455-4.2.1-get",
        "grammar",
        "It is a GET over HTTP/1.1 or higher.",
        (
            "test_handshake.py::test_another_method_than_get_is_refused",
            "test_handshake.py::test_http_1_0_is_refused",
            H + "test_http_1_0_cannot_upgrade",
        ),
    ),
    Clause(
        "6455-4.2.1-host",
        "grammar",
        "It has a Host field.",
        ("wire/http1/test_fields.py::test_a_request_without_host_is_refused",),
    ),
    Clause(
        "6455-4.2.1-upgrade",
        "grammar",
        "Upgrade says websocket, in any case.",
        ("test_handshake.py::test_upgrade_names_websocket_in_any_case",),
    ),
    Clause(
        "6455-4.2.1-connection",
        "grammar",
        "Connection has the token Upgrade, in any case.",
        (
            "test_handshake.py::test_connection_names_upgrade_in_any_case",
            "test_handshake.py::test_a_connection_field_without_upgrade_is_refused",
        ),
    ),
    Clause(
        "6455-4.2.1-key",
        "grammar",
        "The key is 16 octets in base64.",
        (
            "test_handshake.py::test_a_key_that_is_not_16_octets_in_base64_is_refused",
            "test_handshake.py::test_two_keys_are_refused",
        ),
    ),
    # 4.2.2 Sending the server's opening handshake
    Clause("6455-4.2.2-tls", "MUST", "After a TLS handshake all goes through it.", reason=TLS),
    Clause(
        "6455-4.2.2-origin",
        "MUST",
        "An unwelcome origin is answered with an error code.",
        (H + "test_close_before_accept_is_403",),
        reason=APPLICATION,
    ),
    Clause(
        "6455-4.2.2-version",
        "MUST",
        "Another version is answered with an error code and the versions understood.",
        ("test_handshake.py::test_another_version_than_13_is_answered_426_which_names_13",),
    ),
    Clause(
        "6455-4.2.2-resource",
        "MUST",
        "A service that does not exist is answered with an error code.",
        (H + "test_a_denial_is_a_response_and_the_connection_goes_on",),
        reason=APPLICATION,
    ),
    Clause(
        "6455-4.2.2-subprotocol",
        "MUST",
        "The subprotocol is one of those that the client offered.",
        (
            "test_handshake.py::test_the_response_names_what_was_chosen",
            "test_handshake.py::test_a_subprotocol_that_was_not_offered_cannot_be_chosen",
            H + "test_headers_and_subprotocol_of_the_accept_reach_the_client",
            H + "test_an_accept_that_cannot_be_sent_is_refused_and_another_may_follow",
        ),
    ),
    Clause(
        "6455-4.2.2-none",
        "MUST NOT",
        "Where none is agreed on, the response has no Sec-WebSocket-Protocol.",
        (
            "test_handshake.py::test_the_response_switches_protocols",
            H + "test_without_a_subprotocol_none_is_named",
        ),
    ),
    Clause(
        "6455-4.2.2-extensions",
        "MUST",
        "The extensions are chosen from those that the client offered.",
        ("test_extensions.py::test_every_answer_is_within_its_offer",),
    ),
    Clause(
        "6455-4.2.2-unlisted",
        "MUST NOT",
        "An extension that the client did not list is not listed.",
        ("test_extensions.py::test_no_offer_gets_no_answer",),
    ),
    Clause(
        "6455-4.2.2-response",
        "MUST",
        "The response is 101 with Upgrade, Connection and the accept of the key.",
        (
            "test_handshake.py::test_the_key_of_the_rfc_has_the_accept_of_the_rfc",
            "test_handshake.py::test_the_response_switches_protocols",
            H + "test_headers_and_subprotocol_of_the_accept_reach_the_client",
        ),
    ),
    Clause(
        "6455-4.2.2-data",
        "grammar",
        "Once the response is sent, data goes both ways, also what came behind the handshake.",
        (
            H + "test_frames_that_come_with_the_handshake_are_messages",
            H + "test_frames_that_come_before_the_accept_wait_for_it",
        ),
    ),
    Clause(
        "6455-4.3-quoted",
        "MUST",
        "A quoted parameter is a token once unescaped.",
        (
            "test_extensions.py::test_a_quoted_value_is_unescaped",
            "test_extensions.py::test_what_breaks_the_grammar_is_an_error",
        ),
    ),
    Clause(
        "6455-4.4-versions",
        "MUST",
        "The answer to another version names all versions that will do.",
        (
            "test_handshake.py::test_another_version_than_13_is_answered_426_which_names_13",
            H + "test_another_version_is_answered_426_which_names_13",
        ),
    ),
    # 5.1 Overview
    Clause("6455-5.1-mask", "MUST", "A client masks all frames.", reason=CLIENT),
    Clause(
        "6455-5.1-unmasked",
        "MUST",
        "A server closes on a frame that is not masked.",
        ("test_frames.py::test_a_server_refuses_a_frame_without_a_mask",),
    ),
    Clause(
        "6455-5.1-server",
        "MUST NOT",
        "A server does not mask.",
        ("test_encoder.py::test_a_server_does_not_mask_and_uses_the_shortest_length",),
    ),
    Clause(
        "6455-5.1-client",
        "MUST",
        "A client closes on a frame that is masked.",
        ("test_frames.py::test_a_client_refuses_a_frame_with_a_mask",),
    ),
    # 5.2 Base framing
    Clause(
        "6455-5.2-rsv",
        "MUST",
        "A reserved bit is 0 unless an extension means something by it.",
        ("test_deflate.py::test_what_we_compress_has_the_bit_and_no_tail",),
    ),
    Clause(
        "6455-5.2-rsv-fail",
        "MUST",
        "A reserved bit without a meaning fails the connection.",
        (
            "test_frames.py::test_a_reserved_bit_without_an_extension_is_refused",
            "test_frames.py::test_the_other_reserved_bits_are_refused_with_deflate",
        ),
    ),
    Clause(
        "6455-5.2-opcode",
        "MUST",
        "An unknown opcode fails the connection.",
        ("test_frames.py::test_a_reserved_opcode_is_refused",),
    ),
    Clause(
        "6455-5.2-msb",
        "MUST",
        "The highest bit of a 64-bit length is 0.",
        (
            "test_frames.py::test_a_length_of_64_bits_is_refused",
            "test_frames.py::test_a_length_of_63_bits_is_one",
        ),
    ),
    Clause(
        "6455-5.2-minimal",
        "MUST",
        "A length takes as few octets as it needs.",
        (
            "test_frames.py::test_a_length_in_more_octets_than_it_needs_is_refused",
            "test_encoder.py::test_a_server_does_not_mask_and_uses_the_shortest_length",
        ),
    ),
    Clause(
        "6455-5.3-fresh",
        "MUST",
        "A client's frame has a fresh key from a strong source.",
        ("test_encoder.py::test_a_client_masks_each_frame_with_a_key_of_its_own",),
        reason=CLIENT,
    ),
    # 5.4 Fragmentation
    Clause(
        "6455-5.4-control",
        "MUST NOT",
        "Control frames are not fragmented.",
        ("test_frames.py::test_a_fragmented_control_frame_is_refused",),
    ),
    Clause(
        "6455-5.4-order",
        "MUST",
        "Fragments are delivered in the order sent.",
        ("test_messages.py::test_fragments_make_one_message",),
    ),
    Clause(
        "6455-5.4-interleaved",
        "MUST NOT",
        "The fragments of two messages are not mixed.",
        (
            "test_messages.py::test_a_new_message_within_a_fragmented_one_is_refused",
            "test_messages.py::test_a_continuation_of_nothing_is_refused",
        ),
    ),
    Clause(
        "6455-5.4-injected",
        "MUST",
        "Control frames are handled in the middle of a message.",
        (
            "test_messages.py::test_control_frames_between_fragments_come_first",
            "test_deflate.py::test_control_frames_are_never_compressed",
        ),
    ),
    Clause(
        "6455-5.4-both",
        "MUST",
        "Messages come fragmented and whole.",
        (
            "test_messages.py::test_fragments_make_one_message",
            "test_messages.py::test_one_message_does_not_touch_the_next",
        ),
    ),
    Clause(
        "6455-5.4-intermediary",
        "MUST NOT",
        "An intermediary leaves fragmentation alone.",
        reason=INTERMEDIARY,
    ),
    Clause(
        "6455-5.4-type",
        "MUST",
        "All fragments are of the first one's type.",
        ("test_messages.py::test_one_message_does_not_touch_the_next",),
    ),
    # 5.5 Control frames
    Clause(
        "6455-5.5-size",
        "MUST",
        "A control frame has at most 125 octets and is not fragmented.",
        (
            "test_frames.py::test_a_control_frame_of_more_than_125_octets_is_refused",
            "test_encoder.py::test_pings_and_pongs_carry_up_to_125_bytes",
        ),
    ),
    Clause(
        "6455-5.5.1-body",
        "MUST",
        "The body of a Close frame begins with a code of two octets.",
        (
            "test_frames.py::test_a_close_frame_gives_its_code_and_reason",
            "test_frames.py::test_a_close_frame_with_half_a_code_is_refused",
            "test_encoder.py::test_a_close_frame_has_a_code_and_a_reason",
        ),
    ),
    Clause(
        "6455-5.5.1-after",
        "MUST NOT",
        "No data frame follows a Close frame.",
        ("test_encoder.py::test_nothing_follows_a_close_frame",),
    ),
    Clause(
        "6455-5.5.1-answer",
        "MUST",
        "A Close frame is answered with one.",
        (
            C + "test_the_clients_code_is_answered_and_reaches_the_application",
            C + "test_both_may_close_at_once",
        ),
    ),
    Clause(
        "6455-5.5.1-tcp",
        "MUST",
        "After both, the server closes TCP at once.",
        (
            C + "test_the_clients_code_is_answered_and_reaches_the_application",
            C + "test_the_applications_code_reaches_the_client",
            C + "test_a_client_that_does_not_close_after_both_closes_is_closed",
        ),
    ),
    Clause(
        "6455-5.5.2-pong",
        "MUST",
        "A Ping is answered with a Pong, unless a Close frame has come.",
        (
            M + "test_every_ping_is_answered_with_what_it_carries",
            M + "test_fragments_are_put_together_and_control_frames_stand_between",
            C + "test_what_follows_the_close_is_dropped",
        ),
    ),
    Clause(
        "6455-5.5.2-keep-alive",
        "MAY",
        "A Ping may be sent at any time, to keep the connection or to see who is there.",
        (
            K + "test_a_silent_peer_is_pinged_and_a_pong_keeps_it",
            K + "test_a_peer_that_does_not_answer_is_closed_with_1011",
        ),
    ),
    Clause(
        "6455-5.5.3-same",
        "MUST",
        "A Pong has the payload of its Ping.",
        (
            "test_frames.py::test_pings_and_pongs_carry_their_payload",
            M + "test_every_ping_is_answered_with_what_it_carries",
        ),
    ),
    Clause(
        "6455-5.5.3-latest",
        "MAY",
        "Of several Pings that are not answered yet, the last alone may be.",
        (L + "test_a_peer_that_pings_and_never_reads_is_owed_one_pong",),
    ),
    Clause(
        "6455-5.5.3-unasked",
        "MAY",
        "A Pong may come unasked, and wants no answer.",
        (M + "test_fragments_are_put_together_and_control_frames_stand_between",),
    ),
    Clause(
        "6455-5.6-text",
        "MUST",
        "A text message as a whole is valid UTF-8.",
        (
            "test_messages.py::test_a_character_may_be_split_between_fragments",
            "test_messages.py::test_text_that_ends_within_a_character_is_refused",
        ),
    ),
    Clause(
        "6455-5.8-negotiate",
        "MUST",
        "Extensions are agreed on in the handshake.",
        ("test_deflate.py::test_the_bit_without_the_extension_is_refused",),
    ),
    # 6 Sending and receiving
    Clause(
        "6455-6.1-open",
        "MUST",
        "A message is sent while the connection is open.",
        ("test_encoder.py::test_nothing_follows_a_close_frame",),
    ),
    Clause(
        "6455-6.1-frame",
        "MUST",
        "It goes in frames whose opcode says text or binary, the last with FIN.",
        ("test_encoder.py::test_a_server_does_not_mask_and_uses_the_shortest_length",),
    ),
    Clause(
        "6455-6.1-transmit",
        "MUST",
        "The frames are sent.",
        (
            M + "test_a_message_of_any_size_comes_back",
            L + "test_a_slow_reader_stops_the_application",
        ),
    ),
    Clause(
        "6455-6.2-parse",
        "MUST",
        "Incoming data is read as frames; the opcode is the type of the message.",
        ("test_frames.py::test_text_and_binary_are_told_apart",),
    ),
    Clause(
        "6455-6.2-next",
        "MUST",
        "What follows the last fragment is a new message.",
        ("test_messages.py::test_one_message_does_not_touch_the_next",),
    ),
    Clause(
        "6455-6.2-unmask",
        "MUST",
        "A server takes the mask off.",
        (
            "test_frames.py::test_a_payload_of_any_size_is_unmasked",
            "test_frames.py::test_each_frame_is_unmasked_with_its_own_key",
        ),
    ),
    # 7 Closing
    Clause(
        "6455-7.1.2-start",
        "MUST",
        "The closing handshake begins with a Close frame of the code and reason given.",
        ("test_encoder.py::test_a_close_frame_has_a_code_and_a_reason",),
    ),
    Clause(
        "6455-7.1.5-no-code",
        "grammar",
        "A Close frame without a code counts as 1005.",
        ("test_frames.py::test_a_close_frame_without_a_code_counts_as_1005",),
    ),
    Clause(
        "6455-7.1.1-clean",
        "SHOULD",
        "TCP is closed so that the last octets arrive, and the server closes first.",
        (
            C + "test_a_client_that_reads_late_gets_all_ahead_of_the_close",
            M + "test_a_broken_rule_closes_with_its_code",
        ),
    ),
    Clause(
        "6455-7.1.3-started",
        "MUST NOT",
        "Data that comes behind the peer's Close frame is dropped.",
        (C + "test_what_follows_the_close_is_dropped",),
    ),
    Clause(
        "6455-7.1.5-code",
        "grammar",
        "The code of the connection is that of the first Close frame received; 1006 without one.",
        (
            C + "test_the_clients_code_is_answered_and_reaches_the_application",
            C + "test_a_client_that_just_goes_is_1006",
            C + "test_both_may_close_at_once",
        ),
    ),
    Clause(
        "6455-7.1.6-reason",
        "grammar",
        "And so is the reason.",
        (C + "test_the_clients_code_is_answered_and_reaches_the_application",),
    ),
    Clause(
        "6455-7.1.7-close",
        "MUST",
        "To fail is to close the connection, with a Close frame where that is possible.",
        (M + "test_a_broken_rule_closes_with_its_code",),
    ),
    Clause(
        "6455-7.1.7-stop",
        "MUST NOT",
        "After failing, nothing more is read.",
        (
            "test_frames.py::test_a_parser_that_failed_stays_failed",
            M + "test_what_follows_a_broken_rule_is_dropped",
        ),
    ),
    Clause(
        "6455-7.2.2-abort",
        "MUST",
        "To abort is to close the connection.",
        (
            C + "test_a_client_that_does_not_answer_our_close_is_given_up",
            L + "test_a_reader_that_stalls_for_good_is_given_up",
        ),
    ),
    Clause(
        "6455-7.3-server",
        "MAY",
        "A server closes when it has a reason to, and says it.",
        (
            C + "test_a_drain_closes_with_1012_and_tells_the_application",
            C + "test_an_application_that_ends_closes_the_session",
        ),
    ),
    *(
        Clause(
            f"6455-7.4.1-{code}",
            "MUST NOT",
            f"{code} is never in a Close frame.",
            (
                "test_frames.py::test_a_close_code_that_is_never_sent_is_refused",
                "test_encoder.py::test_a_code_that_is_never_sent_is_an_error",
            ),
        )
        for code in (1005, 1006, 1015)
    ),
    # 8 to 10
    Clause(
        "6455-8.1-utf8",
        "MUST",
        "What is not UTF-8 fails the connection.",
        (
            "test_messages.py::test_text_that_is_not_utf_8_is_refused",
            "test_messages.py::test_the_first_wrong_octet_of_a_text_is_enough",
            M + "test_wrong_text_is_refused_before_its_end_has_come",
            "test_frames.py::test_a_close_reason_that_is_not_utf_8_is_refused",
        ),
    ),
    Clause(
        "6455-9-requested",
        "MUST NOT",
        "A server answers with no extension that was not requested.",
        ("test_extensions.py::test_no_offer_gets_no_answer",),
    ),
    Clause(
        "6455-9-parameters",
        "MUST",
        "Parameters are chosen as the extension's document says.",
        ("test_extensions.py::test_each_parameter_has_its_answer",),
    ),
    Clause(
        "6455-9.1-grammar",
        "MUST",
        "A malformed Sec-WebSocket-Extensions fails the connection.",
        (
            "test_extensions.py::test_what_breaks_the_grammar_is_an_error",
            "test_handshake.py::test_extensions_that_break_the_grammar_are_refused",
        ),
    ),
    Clause(
        "6455-9.1-registered",
        "MUST",
        "An extension that is used is registered, and its parameters are defined for it.",
        ("test_extensions.py::test_an_impossible_offer_is_declined",),
    ),
    Clause(
        "6455-10.4-limits",
        "MUST",
        "An endpoint protects itself against messages beyond its limits.",
        (
            "test_messages.py::test_a_message_at_the_limit_is_taken_and_one_beyond_is_refused",
            "test_messages.py::test_a_message_beyond_the_limit_is_refused_by_its_header",
            "test_messages.py::test_a_message_of_too_many_frames_is_refused",
            "test_frames.py::test_a_claimed_length_takes_no_memory",
            L + "test_a_message_may_be_as_large_as_the_limit_and_no_larger",
            L + "test_a_stalled_application_stops_the_peer",
        ),
    ),
    Clause(
        "8441-5-key",
        "grammar",
        "An extended CONNECT has no key and its response no accept.",
        ("test_handshake.py::test_an_extended_connect_needs_no_key",),
    ),
]
