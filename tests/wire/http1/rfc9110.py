"""The clauses of RFC 9110, HTTP semantics, that the protocol layer of a server can honour."""

from __future__ import annotations

from tests.wire.clause import APPLICATION, CONNECTION, Clause

WEBSOCKET = "server/test_websocket_handshake.py::"

SEMANTICS = [
    Clause(
        "9110-2.2-grammar",
        "MUST NOT",
        "nothing is generated that does not match the grammar",
        (
            "test_encoder.py::test_a_name_that_is_not_a_token_is_refused",
            "test_encoder.py::test_an_empty_name_is_refused",
            "test_encoder.py::test_a_malformed_length_is_refused",
            "test_properties.py::test_what_the_encoder_writes_h11_reads",
        ),
    ),
    Clause(
        "9110-2.3-length",
        "MUST",
        "elements at least as long as our own are read",
        ("test_request_line.py::test_a_request_line_of_8000_octets_is_read",),
    ),
    Clause(
        "9110-4.2.1-empty-host",
        "MUST",
        "an http URI without a host is rejected",
        ("test_request_line.py::test_a_malformed_authority_in_the_target_is_refused",),
    ),
    Clause(
        "9110-4.2.2-empty-host",
        "MUST",
        "an https URI without a host is rejected",
        ("test_request_line.py::test_an_https_target_without_a_host_is_refused",),
    ),
    Clause(
        "9110-4.2.4-userinfo",
        "SHOULD",
        "userinfo in a URI from a stranger is an error",
        ("test_request_line.py::test_a_malformed_authority_in_the_target_is_refused",),
    ),
    Clause(
        "9110-5.1-token",
        "grammar",
        "a field name is a case-insensitive token",
        (
            "test_fields.py::test_a_field_name_that_is_not_a_token_is_refused",
            "test_fields.py::test_a_field_name_may_have_any_token_character",
            "test_fields.py::test_a_known_field_name_is_known_in_any_case",
        ),
    ),
    Clause(
        "9110-5.2-order",
        "grammar",
        "field lines of one name keep their order",
        (
            "test_fields.py::test_a_field_given_more_than_once_is_not_merged",
            "test_encoder.py::test_fields_keep_their_order",
        ),
    ),
    Clause(
        "9110-5.3-repeat",
        "MUST NOT",
        "no field but a list is generated more than once",
        (
            "test_encoder.py::test_more_than_one_length_is_refused",
            "test_encoder.py::test_defaults_are_added_unless_the_application_has_them",
        ),
        "for the fields that the server itself generates; the others are the application's",
    ),
    Clause(
        "9110-5.3-whole-head",
        "MUST NOT",
        "a request is not applied before its whole head is there",
        ("test_properties.py::test_a_request_appears_with_the_last_octet_of_its_head",),
    ),
    Clause(
        "9110-5.4-4xx",
        "MUST",
        "fields larger than the server processes are answered 4xx",
        (
            "test_fields.py::test_a_head_over_the_limit_is_too_large",
            "test_fields.py::test_a_field_line_without_end_is_too_large",
            "test_fields.py::test_more_fields_than_the_limit_are_too_many",
            "test_body.py::test_trailers_have_the_limits_of_a_head",
        ),
    ),
    Clause(
        "9110-5.5-whitespace",
        "MUST",
        "white space around a value is taken off before the value is read",
        (
            "test_fields.py::test_white_space_around_a_value_is_not_part_of_it",
            "test_body.py::test_a_length_is_decimal_digits",
            "test_body.py::test_chunked_is_the_coding_that_is_read",
        ),
    ),
    Clause(
        "9110-5.5-crlf-nul",
        "MUST",
        "a value with CR, LF or NUL is rejected, or they are replaced",
        (
            "test_fields.py::test_a_control_character_in_a_value_is_refused",
            "test_body.py::test_trailers_have_the_syntax_of_fields",
        ),
    ),
    Clause(
        "9110-5.5-ctl",
        "grammar",
        "other control characters in a value are invalid; they may be kept: we refuse them",
        ("test_fields.py::test_a_control_character_in_a_value_is_refused",),
    ),
    Clause(
        "9110-5.5-opaque",
        "SHOULD",
        "octets from 0x80 on are opaque",
        ("test_fields.py::test_octets_beyond_ascii_in_a_value_are_opaque",),
    ),
    Clause(
        "9110-5.6.1.1-empty",
        "MUST NOT",
        "no empty list element is generated",
        ("test_encoder.py::test_the_connection_field_says_whether_it_goes_on",),
        "for the fields that the server itself generates; the others are the application's",
    ),
    Clause(
        "9110-5.6.1.2-empty",
        "MUST",
        "some empty list elements are ignored",
        ("test_parser.py::test_persistence_follows_the_version_and_the_connection_field",),
    ),
    Clause(
        "9110-5.6.1.2-syntax",
        "MUST",
        "lists with empty elements are accepted, but in Transfer-Encoding, where readings differ "
        "and we refuse them",
        (
            "test_parser.py::test_persistence_follows_the_version_and_the_connection_field",
            "test_body.py::test_an_empty_element_beside_chunked_is_refused",
        ),
        "a deliberate exception: a framing field that others read otherwise is not guessed at",
    ),
    Clause(
        "9110-5.6.3-bws-sent",
        "MUST NOT",
        "no bad white space is generated",
        ("test_encoder.py::test_a_body_of_unknown_length_is_chunked",),
    ),
    Clause(
        "9110-5.6.3-bws",
        "MUST",
        "bad white space is parsed and removed: around a chunk extension",
        ("test_body.py::test_chunk_extensions_are_ignored",),
    ),
    Clause(
        "9110-6.2-conform",
        "MUST NOT",
        "no version is sent to which the server does not conform",
        ("test_encoder.py::test_an_http_1_0_client_is_answered_as_an_http_1_1_server",),
    ),
    Clause(
        "9110-6.2-major",
        "MAY",
        "another major version may be answered 505",
        (
            "test_request_line.py::test_another_major_version_is_not_supported",
            "test_request_line.py::test_the_http_2_preface_is_not_supported",
        ),
    ),
    Clause(
        "9110-6.2-minor",
        "SHOULD",
        "a higher minor version is processed as the highest known",
        ("test_request_line.py::test_a_higher_minor_version_counts_as_1_1",),
    ),
    Clause(
        "9110-6.4.1-content",
        "grammar",
        "HEAD, 1xx, 204 and 304 have no content",
        (
            "test_encoder.py::test_a_status_without_a_body_never_has_one",
            "test_encoder.py::test_head_gets_the_fields_of_get_and_no_body",
            "test_encoder.py::test_interim_responses_have_a_head_alone",
        ),
    ),
    Clause(
        "9110-6.5.1-generate",
        "MUST NOT",
        "no trailer is generated that its definition does not permit",
        ("test_encoder.py::test_a_trailer_that_frames_a_message_is_refused",),
        "for those that frame a message; what the others permit is for the application to know",
    ),
    Clause(
        "9110-6.5.1-merge",
        "MUST NOT",
        "no trailer is merged into the head without leave",
        (
            "test_body.py::test_trailers_are_kept_apart_from_the_head",
            "test_body.py::test_a_trailer_that_frames_routes_or_controls_is_refused",
        ),
    ),
    Clause(
        "9110-6.6.1-date",
        "MUST",
        "2xx, 3xx and 4xx have a Date",
        (
            "server/test_http1_connection.py::test_date_and_server_are_sent_once",
            "test_encoder.py::test_defaults_are_added_unless_the_application_has_them",
        ),
    ),
    Clause(
        "9110-7.1-forms",
        "MUST NOT",
        "the special forms of CONNECT and OPTIONS are not for other methods",
        (
            "test_request_line.py::test_the_asterisk_form_is_for_options_alone",
            "test_request_line.py::test_a_target_of_no_known_form_is_refused",
        ),
    ),
    Clause(
        "9110-7.4-misdirected",
        "MUST",
        "a request for an https resource is rejected on an unsecured connection",
        (),
        CONNECTION,
    ),
    Clause(
        "9110-7.6.1-options",
        "grammar",
        "connection options are case-insensitive and may be spread over lines",
        ("test_parser.py::test_persistence_follows_the_version_and_the_connection_field",),
    ),
    Clause(
        "9110-7.6.1-listed",
        "MUST",
        "a field about the connection is named in Connection",
        ("test_encoder.py::test_an_upgrade_offer_has_its_connection_option",),
    ),
    Clause(
        "9110-7.8-101",
        "MUST",
        "a 101 has an Upgrade field",
        (WEBSOCKET + "test_upgrade_names_websocket_among_others",),
    ),
    Clause(
        "9110-7.8-order",
        "MUST",
        "a 101 lists protocols in the order of their layers",
        (WEBSOCKET + "test_upgrade_names_websocket_among_others",),
        "there is one protocol to switch to",
    ),
    Clause(
        "9110-7.8-unasked",
        "MUST NOT",
        "no unasked protocol is switched to",
        (WEBSOCKET + "test_an_upgrade_to_something_else_is_a_request",),
    ),
    Clause(
        "9110-7.8-426",
        "MUST",
        "a 426 has an Upgrade field",
        (WEBSOCKET + "test_another_version_is_answered_426_which_names_13",),
    ),
    Clause(
        "9110-7.8-semantics",
        "MUST NOT",
        "no switch to a protocol that cannot carry the request on",
        (WEBSOCKET + "test_a_handshake_that_does_not_match_is_answered_400",),
    ),
    Clause(
        "9110-7.8-option",
        "MUST",
        "Upgrade goes with the connection option upgrade",
        ("test_encoder.py::test_an_upgrade_offer_has_its_connection_option",),
    ),
    Clause(
        "9110-7.8-http-1.0",
        "MUST",
        "Upgrade in HTTP/1.0 is ignored",
        (
            "test_parser.py::test_an_upgrade_in_http_1_0_is_ignored",
            WEBSOCKET + "test_http_1_0_cannot_upgrade",
        ),
    ),
    Clause(
        "9110-7.8-100-first",
        "MUST",
        "a 100 comes before a 101",
        (WEBSOCKET + "test_a_handshake_that_does_not_match_is_answered_400",),
        "there is never a 100 to send: a handshake with a body is refused",
    ),
    Clause(
        "9110-7.8-framing",
        "grammar",
        "Upgrade invites and does not insist: the request's own framing stands",
        ("test_body.py::test_an_upgrade_does_not_change_the_framing",),
    ),
    Clause(
        "9110-8.6-forward",
        "MUST NOT",
        "no Content-Length known to be wrong is passed on",
        (
            "test_encoder.py::test_a_whole_body_that_contradicts_its_length_is_refused_with_its_head",
            "test_encoder.py::test_a_body_longer_than_its_length_is_refused_before_any_surplus",
            "test_encoder.py::test_a_body_shorter_than_its_length_is_refused_at_its_end",
        ),
    ),
    Clause(
        "9110-8.6-overflow",
        "MUST",
        "large lengths neither overflow nor lose digits",
        (
            "test_body.py::test_a_length_past_64_bits_does_not_wrap_around",
            "test_body.py::test_a_limit_of_zero_lets_any_length_in",
        ),
    ),
    Clause(
        "9110-8.6-head",
        "MUST NOT",
        "Content-Length in answer to HEAD is what GET would have had, or absent",
        (
            "test_encoder.py::test_head_gets_the_length_of_a_body_that_is_all_there",
            "test_encoder.py::test_head_of_a_body_of_unknown_length_keeps_the_connection",
        ),
    ),
    Clause(
        "9110-8.6-not-modified",
        "MUST NOT",
        "Content-Length in a 304 is what the 200 would have had, or absent",
        ("test_encoder.py::test_not_modified_keeps_the_length_of_what_was_not_sent",),
    ),
    Clause(
        "9110-8.6-no-content",
        "MUST NOT",
        "no Content-Length in 1xx and 204",
        (
            "test_encoder.py::test_no_content_has_no_length",
            "test_encoder.py::test_interim_responses_have_no_framing_fields",
        ),
    ),
    Clause(
        "9110-8.6-connect",
        "MUST NOT",
        "no Content-Length in a 2xx to CONNECT",
        ("test_request_line.py::test_connect_is_not_implemented",),
    ),
    Clause(
        "9110-8.6-duplicate",
        "MUST",
        "a repeated Content-Length is rejected, or replaced by one",
        ("test_body.py::test_more_than_one_length_is_refused",),
    ),
    Clause(
        "9110-9.1-extension",
        "grammar",
        "methods are open: those of the registry and others reach the application",
        ("test_request_line.py::test_every_method_but_connect_is_read",),
    ),
    Clause(
        "9110-9.1-get-head",
        "MUST",
        "GET and HEAD are supported",
        ("test_request_line.py::test_every_method_but_connect_is_read",),
    ),
    Clause(
        "9110-9.3.2-head",
        "MUST NOT",
        "no content is sent in answer to HEAD",
        (
            "test_encoder.py::test_head_gets_the_fields_of_get_and_no_body",
            "test_encoder.py::test_head_of_a_body_of_unknown_length_keeps_the_connection",
        ),
    ),
    Clause(
        "9110-9.3.6-port",
        "MUST",
        "CONNECT to an empty or invalid port is rejected",
        ("test_request_line.py::test_connect_is_not_implemented",),
    ),
    Clause(
        "9110-10.1.1-http-1.0",
        "MUST",
        "100-continue in HTTP/1.0 is ignored",
        ("test_parser.py::test_http_1_0_expects_nothing",),
    ),
    Clause(
        "9110-10.1.1-unknown",
        "MAY",
        "another expectation may be answered 417",
        ("test_parser.py::test_another_expectation_fails",),
    ),
    Clause(
        "9110-10.1.1-answer",
        "MUST",
        "100-continue with content to come is answered with 100 or a final status",
        (
            "server/test_http1_connection.py::test_100_is_sent_when_the_application_first_awaits_the_body",
            "server/test_http1_connection.py::test_a_final_answer_in_place_of_100_closes_the_connection",
            "test_parser.py::test_a_client_that_waits_for_100_is_noticed",
            "test_parser.py::test_a_client_that_waits_for_100_may_send_chunks",
            "test_parser.py::test_nobody_waits_for_100_when_no_body_follows",
        ),
    ),
    Clause(
        "9110-10.1.1-no-wait",
        "MUST NOT",
        "the 100 does not wait for content",
        (
            "server/test_http1_connection.py::test_100_is_sent_when_the_application_first_awaits_the_body",
            "test_properties.py::test_a_request_appears_with_the_last_octet_of_its_head",
        ),
    ),
    Clause(
        "9110-10.1.1-final",
        "MUST",
        "a final status follows a 100",
        (
            "server/test_http1_connection.py::test_100_is_sent_when_the_application_first_awaits_the_body",
        ),
    ),
    Clause(
        "9110-15.2-http-1.0",
        "MUST NOT",
        "no 1xx to an HTTP/1.0 client",
        ("server/test_http1_connection.py::test_http_1_0_clients_get_no_100",),
    ),
    Clause(
        "9110-15.3.6-reset",
        "MUST NOT",
        "a 205 has no content",
        (
            "test_encoder.py::test_reset_content_says_that_it_is_empty",
            "test_encoder.py::test_a_status_without_a_body_never_has_one",
        ),
    ),
    Clause(
        "9110-15.4.5-fields",
        "MUST",
        "a 304 has the fields of the 200 that identify the representation",
        (),
        APPLICATION,
    ),
    Clause("9110-15.5.2-challenge", "MUST", "a 401 has a challenge", (), APPLICATION),
    Clause("9110-15.5.6-allow", "MUST", "a 405 has an Allow field", (), APPLICATION),
    Clause(
        "9110-15.5.14-413",
        "MAY",
        "content larger than the server takes is answered 413",
        (
            "test_body.py::test_a_length_over_the_limit_is_refused_before_any_of_the_body",
            "test_body.py::test_chunks_over_the_limit_are_refused_as_they_pass_it",
        ),
    ),
]
