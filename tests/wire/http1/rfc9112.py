"""The clauses of RFC 9112, HTTP/1.1: every MUST and MUST NOT, and what else we keep to."""

from __future__ import annotations

from tests.wire.clause import CLIENT, CONNECTION, DOCUMENTS, INTERMEDIARY, TLS, Clause

# Every numbered section of RFC 9112 from 2 to 12, and how often it says MUST or MUST NOT.
SECTIONS_OF_9112 = {
    "2": 0,
    "2.1": 0,
    "2.2": 7,
    "2.3": 1,
    "3": 1,
    "3.1": 0,
    "3.2": 4,
    "3.2.1": 2,
    "3.2.2": 6,
    "3.2.3": 1,
    "3.2.4": 2,
    "3.3": 0,
    "4": 1,
    "5": 0,
    "5.1": 2,
    "5.2": 4,
    "6": 0,
    "6.1": 10,
    "6.2": 1,
    "6.3": 11,
    "7": 0,
    "7.1": 2,
    "7.1.1": 1,
    "7.1.2": 2,
    "7.1.3": 0,
    "7.2": 0,
    "7.3": 3,
    "7.4": 2,
    "8": 1,
    "9": 0,
    "9.1": 0,
    "9.2": 3,
    "9.3": 5,
    "9.3.1": 0,
    "9.3.2": 2,
    "9.4": 0,
    "9.5": 0,
    "9.6": 7,
    "9.7": 1,
    "9.8": 2,
    "10": 0,
    "10.1": 1,
    "10.2": 0,
    "11": 0,
    "11.1": 0,
    "11.2": 0,
    "11.3": 0,
    "11.4": 0,
    "12": 0,
    "12.1": 0,
    "12.2": 0,
    "12.3": 0,
    "12.4": 0,
}

HTTP_1_1 = [
    # 2. Message
    Clause(
        "9112-2.1-message",
        "grammar",
        "a message is a start line, field lines, an empty line and perhaps a body",
        ("test_fields.py::test_field_names_come_in_lower_case_and_in_order",),
    ),
    Clause(
        "9112-2.2-octets",
        "MUST",
        "a message is parsed as octets, not as text of some encoding",
        (
            "test_fields.py::test_octets_beyond_ascii_in_a_value_are_opaque",
            "test_request_line.py::test_octets_that_no_uri_may_hold_are_refused",
        ),
    ),
    Clause(
        "9112-2.2-lf",
        "MAY",
        "a lone LF may be taken for a line end: we do not, since others do not",
        (
            "test_fields.py::test_a_bare_lf_is_refused",
            "test_body.py::test_chunk_lines_end_with_cr_lf_alone",
            "test_body.py::test_trailers_have_the_syntax_of_fields",
        ),
    ),
    Clause(
        "9112-2.2-bare-cr-sent",
        "MUST NOT",
        "no bare CR is sent outside the content",
        (
            "test_encoder.py::test_a_control_character_in_a_value_is_refused_before_any_octet_is_out",
            "test_encoder.py::test_a_name_that_is_not_a_token_is_refused",
        ),
    ),
    Clause(
        "9112-2.2-bare-cr",
        "MUST",
        "a bare CR makes the element that holds it invalid, or is replaced by a space",
        (
            "test_fields.py::test_a_bare_cr_is_refused",
            "test_body.py::test_chunk_lines_end_with_cr_lf_alone",
        ),
    ),
    Clause("9112-2.2-crlf-around", "MUST NOT", "no extra CRLF around a request", (), CLIENT),
    Clause("9112-2.2-crlf-counted", "MUST", "a final CRLF of a body is counted", (), CLIENT),
    Clause(
        "9112-2.2-empty-line",
        "SHOULD",
        "at least one empty line ahead of the request line is skipped",
        (
            "test_fields.py::test_a_few_empty_lines_before_the_request_line_are_skipped",
            "test_fields.py::test_empty_lines_before_the_request_line_have_a_limit",
            "test_fields.py::test_empty_lines_between_requests_are_skipped",
        ),
    ),
    Clause(
        "9112-2.2-space-sent",
        "MUST NOT",
        "no white space is sent between the start line and the first field",
        ("test_encoder.py::test_a_name_that_is_not_a_token_is_refused",),
    ),
    Clause(
        "9112-2.2-space",
        "MUST",
        "a message with white space ahead of its first field is rejected, or those lines ignored",
        ("test_fields.py::test_white_space_before_the_first_field_is_refused",),
    ),
    Clause(
        "9112-2.2-400",
        "SHOULD",
        "what is not an HTTP message is answered 400",
        ("test_request_line.py::test_what_is_not_http_is_refused",),
    ),
    Clause("9112-2.3-forward", "MUST", "a forwarder sends its own version", (), INTERMEDIARY),
    Clause(
        "9112-2.3-case",
        "grammar",
        "the version is two digits behind a case-sensitive HTTP",
        (
            "test_request_line.py::test_http_1_1_is_read",
            "test_request_line.py::test_http_1_0_is_read",
            "test_request_line.py::test_a_malformed_version_is_refused",
        ),
    ),
    Clause(
        "9112-2.3-downgrade",
        "SHOULD NOT",
        "a response is not of a lower version without a reason in the client",
        ("test_encoder.py::test_an_http_1_0_client_is_answered_as_an_http_1_1_server",),
    ),
    # 3. Request line
    Clause(
        "9112-3-grammar",
        "grammar",
        "one space stands between method, target and version, and none around them",
        ("test_request_line.py::test_a_malformed_request_line_is_refused",),
    ),
    Clause(
        "9112-3-method",
        "SHOULD",
        "a method longer than any implemented is answered 501",
        (
            "test_request_line.py::test_a_longer_method_is_not_implemented",
            "test_request_line.py::test_a_method_of_32_octets_is_read",
            "test_request_line.py::test_connect_is_not_implemented",
        ),
    ),
    Clause(
        "9112-3-414",
        "MUST",
        "a target longer than the server parses is answered 414",
        (
            "test_request_line.py::test_a_request_line_over_the_limit_is_too_long",
            "test_request_line.py::test_a_request_line_without_end_is_too_long",
            "test_request_line.py::test_a_request_line_at_the_limit_is_read",
        ),
    ),
    Clause(
        "9112-3-8000",
        "SHOULD",
        "request lines of at least 8000 octets are read",
        ("test_request_line.py::test_a_request_line_of_8000_octets_is_read",),
    ),
    Clause(
        "9112-3.1-token",
        "grammar",
        "the method is a case-sensitive token",
        (
            "test_request_line.py::test_the_method_is_case_sensitive",
            "test_request_line.py::test_a_method_may_have_any_token_character",
            "test_request_line.py::test_a_method_that_is_not_a_token_is_refused",
        ),
    ),
    Clause(
        "9112-3.2-invalid",
        "SHOULD",
        "an invalid request line is answered 400",
        (
            "test_request_line.py::test_a_malformed_request_line_is_refused",
            "test_request_line.py::test_a_target_of_no_known_form_is_refused",
            "test_request_line.py::test_octets_that_no_uri_may_hold_are_refused",
        ),
    ),
    Clause(
        "9112-3.2-autocorrect",
        "SHOULD NOT",
        "an invalid request line is not mended and then processed",
        ("test_request_line.py::test_a_malformed_request_line_is_refused",),
    ),
    Clause("9112-3.2-host-sent", "MUST", "Host is sent in HTTP/1.1", (), CLIENT),
    Clause("9112-3.2-host-is-authority", "MUST", "Host is the target's authority", (), CLIENT),
    Clause("9112-3.2-host-empty", "MUST", "Host is empty without an authority", (), CLIENT),
    Clause(
        "9112-3.2-host",
        "MUST",
        "no Host in HTTP/1.1, more than one Host or an invalid one is answered 400",
        (
            "test_fields.py::test_a_request_without_host_is_refused",
            "test_fields.py::test_more_than_one_host_is_refused",
            "test_fields.py::test_a_malformed_host_is_refused",
            "test_fields.py::test_a_host_of_the_uri_grammar_is_read",
            "test_fields.py::test_http_1_0_may_leave_host_out",
            "test_request_line.py::test_an_absolute_target_does_not_make_up_for_a_missing_host",
        ),
    ),
    Clause("9112-3.2.1-origin", "MUST", "path and query alone go to an origin", (), CLIENT),
    Clause("9112-3.2.1-slash", "MUST", "an empty path is sent as a slash", (), CLIENT),
    Clause(
        "9112-3.2.1-form",
        "grammar",
        "origin-form is an absolute path and perhaps a query",
        (
            "test_request_line.py::test_origin_form_is_split_at_the_first_question_mark",
            "test_request_line.py::test_the_path_is_decoded_once_as_utf_8",
        ),
    ),
    Clause("9112-3.2.2-to-proxy", "MUST", "a proxy is sent the absolute-form", (), CLIENT),
    Clause("9112-3.2.2-host-too", "MUST", "Host is sent with the absolute-form too", (), CLIENT),
    Clause("9112-3.2.2-proxy-host", "MUST", "a proxy ignores Host", (), INTERMEDIARY),
    Clause("9112-3.2.2-proxy-new", "MUST", "a proxy makes a new Host", (), INTERMEDIARY),
    Clause(
        "9112-3.2.2-host",
        "MUST",
        "an origin ignores Host beside the absolute-form and takes the target's authority",
        (
            "test_request_line.py::test_the_authority_of_an_absolute_target_stands_for_host",
            "test_request_line.py::test_an_absolute_target_names_the_host_of_http_1_0_too",
        ),
    ),
    Clause(
        "9112-3.2.2-accept",
        "MUST",
        "a server accepts the absolute-form",
        (
            "test_request_line.py::test_the_authority_of_an_absolute_target_stands_for_host",
            "test_request_line.py::test_the_path_of_an_absolute_target_is_decoded",
        ),
    ),
    Clause("9112-3.2.3-connect", "MUST", "CONNECT sends host and port alone", (), CLIENT),
    Clause(
        "9112-3.2.3-form",
        "grammar",
        "the authority-form is for CONNECT, which is not implemented",
        (
            "test_request_line.py::test_connect_is_not_implemented",
            "test_request_line.py::test_a_target_of_no_known_form_is_refused",
        ),
    ),
    Clause("9112-3.2.4-sent", "MUST", "OPTIONS of a server sends an asterisk", (), CLIENT),
    Clause(
        "9112-3.2.4-proxy",
        "MUST",
        "the last proxy sends an asterisk for OPTIONS of an authority without a path",
        (
            "test_request_line.py::test_options_of_an_authority_without_a_path_is_of_the_whole_server",
        ),
        "binds proxies; an origin that is addressed like one reads it the same way",
    ),
    Clause(
        "9112-3.2.4-form",
        "grammar",
        "the asterisk-form is for OPTIONS alone",
        (
            "test_request_line.py::test_the_asterisk_form_is_for_options_alone",
            "test_request_line.py::test_options_of_the_whole_server_has_the_path_asterisk",
        ),
    ),
    Clause(
        "9112-3.3-authority",
        "grammar",
        "the target URI takes its authority from an absolute target, else from Host",
        ("test_request_line.py::test_the_authority_of_an_absolute_target_stands_for_host",),
    ),
    # 4. Status line
    Clause(
        "9112-4-space",
        "MUST",
        "the space behind the status code is sent even when no phrase follows",
        ("test_encoder.py::test_a_status_without_a_phrase_keeps_the_space_before_it",),
    ),
    Clause(
        "9112-4-digits",
        "grammar",
        "the status code has three digits",
        (
            "test_encoder.py::test_a_status_that_is_not_final_is_refused",
            "test_encoder.py::test_every_registered_status_can_be_sent",
        ),
    ),
    # 5. Field syntax
    Clause(
        "9112-5-line",
        "grammar",
        "a field line is a token, a colon, and a value in optional white space",
        (
            "test_fields.py::test_white_space_around_a_value_is_not_part_of_it",
            "test_fields.py::test_a_line_without_a_colon_is_refused",
            "test_fields.py::test_a_field_without_a_name_is_refused",
        ),
    ),
    Clause(
        "9112-5.1-colon",
        "MUST",
        "white space between a field name and its colon is answered 400",
        ("test_fields.py::test_white_space_before_the_colon_is_refused",),
    ),
    Clause("9112-5.1-proxy", "MUST", "a proxy removes such white space", (), INTERMEDIARY),
    Clause(
        "9112-5.2-fold-sent",
        "MUST NOT",
        "no folded line is sent",
        (
            "test_encoder.py::test_a_control_character_in_a_value_is_refused_before_any_octet_is_out",
        ),
    ),
    Clause(
        "9112-5.2-fold",
        "MUST",
        "a folded line in a request is answered 400, or unfolded",
        (
            "test_fields.py::test_a_folded_field_line_is_refused",
            "test_body.py::test_trailers_have_the_syntax_of_fields",
        ),
    ),
    Clause("9112-5.2-fold-proxy", "MUST", "a proxy treats folds in responses", (), INTERMEDIARY),
    Clause("9112-5.2-fold-client", "MUST", "a client unfolds responses", (), CLIENT),
    # 6. Message body
    Clause(
        "9112-6-presence",
        "grammar",
        "a request has a body when its framing fields say so, whatever the method",
        (
            "test_body.py::test_framing_does_not_depend_on_the_method",
            "test_body.py::test_a_request_that_declares_no_body_has_none",
        ),
    ),
    Clause(
        "9112-6.1-chunked",
        "MUST",
        "a recipient can parse the chunked coding",
        (
            "test_body.py::test_chunked_is_the_coding_that_is_read",
            "test_properties.py::test_any_chunking_of_a_body_is_read_as_that_body",
        ),
    ),
    Clause(
        "9112-6.1-once",
        "MUST NOT",
        "chunked is not applied more than once",
        (
            "test_body.py::test_chunked_more_than_once_is_refused",
            "test_encoder.py::test_the_framing_does_not_follow_the_applications_transfer_encoding",
        ),
    ),
    Clause("9112-6.1-request-last", "MUST", "chunked is the last coding sent", (), CLIENT),
    Clause(
        "9112-6.1-response-last",
        "MUST",
        "a response in another coding ends with chunked or with the connection",
        ("test_encoder.py::test_the_framing_does_not_follow_the_applications_transfer_encoding",),
        "no other coding is ever applied",
    ),
    Clause(
        "9112-6.1-no-content",
        "MUST NOT",
        "no Transfer-Encoding in 1xx and 204",
        (
            "test_encoder.py::test_a_status_without_a_body_never_has_one",
            "test_encoder.py::test_interim_responses_have_no_framing_fields",
        ),
    ),
    Clause(
        "9112-6.1-connect",
        "MUST NOT",
        "no Transfer-Encoding in a 2xx to CONNECT",
        ("test_request_line.py::test_connect_is_not_implemented",),
    ),
    Clause(
        "9112-6.1-unknown",
        "SHOULD",
        "a coding that is not understood is answered 501",
        ("test_body.py::test_a_coding_before_chunked_is_not_implemented",),
    ),
    Clause("9112-6.1-client-1.1", "MUST NOT", "no coding to unknown servers", (), CLIENT),
    Clause(
        "9112-6.1-response-1.1",
        "MUST NOT",
        "no Transfer-Encoding is sent to an HTTP/1.0 client",
        (
            "test_encoder.py::test_http_1_0_gets_no_chunks_but_the_end_of_the_connection",
            "test_encoder.py::test_the_framing_does_not_follow_the_applications_transfer_encoding",
        ),
    ),
    Clause(
        "9112-6.1-both",
        "MUST",
        "the connection closes after Content-Length beside Transfer-Encoding, which may be refused",
        (
            "server/test_http1_connection.py::test_what_is_refused_gets_its_status_a_log_line_and_a_close",
            "test_body.py::test_a_length_beside_a_coding_is_refused",
        ),
        "refused at once, and a refusal is the last thing on a connection",
    ),
    Clause(
        "9112-6.1-http-1.0",
        "MUST",
        "Transfer-Encoding in HTTP/1.0 is faulty framing, after which the connection closes",
        (
            "server/test_http1_connection.py::test_what_is_refused_gets_its_status_a_log_line_and_a_close",
            "test_body.py::test_a_coding_in_http_1_0_is_refused",
        ),
    ),
    Clause(
        "9112-6.2-not-both",
        "MUST NOT",
        "no Content-Length is sent beside Transfer-Encoding",
        ("test_encoder.py::test_a_length_and_a_coding_never_go_out_together",),
    ),
    Clause("9112-6.3-connect", "MUST", "a 2xx to CONNECT has no framing fields", (), CLIENT),
    Clause("9112-6.3-remove", "MUST", "a forwarder removes Content-Length", (), INTERMEDIARY),
    Clause(
        "9112-6.3-not-last",
        "MUST",
        "a request whose last coding is not chunked is answered 400",
        (
            "server/test_http1_connection.py::test_what_is_refused_gets_its_status_a_log_line_and_a_close",
            "test_body.py::test_a_coding_other_than_chunked_at_the_end_is_refused",
        ),
    ),
    Clause(
        "9112-6.3-length",
        "MUST",
        "an invalid Content-Length cannot be recovered from, but for a list of equal numbers, "
        "which may be read as one: we refuse that too",
        (
            "test_body.py::test_a_malformed_length_is_refused",
            "test_body.py::test_more_than_one_length_is_refused",
        ),
    ),
    Clause(
        "9112-6.3-length-400",
        "MUST",
        "an invalid Content-Length in a request is answered 400, and the connection closed",
        (
            "server/test_http1_connection.py::test_what_is_refused_gets_its_status_a_log_line_and_a_close",
            "test_body.py::test_a_malformed_length_is_refused",
            "test_body.py::test_more_than_one_length_is_refused",
        ),
    ),
    Clause("9112-6.3-length-proxy", "MUST", "a proxy answers 502", (), INTERMEDIARY),
    Clause("9112-6.3-length-client", "MUST", "a client discards the response", (), CLIENT),
    Clause(
        "9112-6.3-incomplete",
        "MUST",
        "a body that ends before its length is incomplete",
        (
            "test_body.py::test_a_body_cut_short_is_not_complete",
            "test_body.py::test_a_chunked_body_cut_short_is_not_complete",
        ),
    ),
    Clause("9112-6.3-request-framed", "MUST", "a request body is framed", (), CLIENT),
    Clause("9112-6.3-request-chunked", "MUST NOT", "no chunks to old servers", (), CLIENT),
    Clause("9112-6.3-extra", "MUST NOT", "no response is made of surplus data", (), CLIENT),
    Clause(
        "9112-6.3-delimited",
        "SHOULD",
        "a response is delimited by its length or coding whenever possible",
        (
            "test_encoder.py::test_a_body_that_is_all_there_gets_a_length",
            "test_encoder.py::test_a_body_of_unknown_length_is_chunked",
        ),
    ),
    Clause(
        "9112-6.3-no-body",
        "grammar",
        "HEAD, 1xx, 204 and 304 end with the head; a request without framing has no body",
        (
            "test_encoder.py::test_a_status_without_a_body_never_has_one",
            "test_encoder.py::test_head_gets_the_fields_of_get_and_no_body",
            "test_body.py::test_a_request_that_declares_no_body_has_none",
        ),
    ),
    # 7. Transfer codings
    Clause(
        "9112-7-case",
        "grammar",
        "coding names are case-insensitive",
        ("test_body.py::test_chunked_is_the_coding_that_is_read",),
    ),
    Clause(
        "9112-7.1-decode",
        "MUST",
        "a recipient can decode the chunked coding",
        (
            "test_body.py::test_chunks_are_joined",
            "test_properties.py::test_any_chunking_of_a_body_is_read_as_that_body",
        ),
    ),
    Clause(
        "9112-7.1-overflow",
        "MUST",
        "large chunk sizes neither overflow nor lose digits",
        (
            "test_body.py::test_a_malformed_chunk_size_is_refused",
            "test_body.py::test_a_large_chunk_is_read_in_pieces_as_they_come",
        ),
    ),
    Clause(
        "9112-7.1-grammar",
        "grammar",
        "a chunk is hexadecimal digits, CRLF, that many octets, CRLF",
        (
            "test_body.py::test_a_malformed_chunk_size_is_refused",
            "test_body.py::test_chunk_lines_end_with_cr_lf_alone",
        ),
    ),
    Clause(
        "9112-7.1-parameters",
        "SHOULD",
        "parameters of chunked are an error",
        ("test_body.py::test_a_coding_other_than_chunked_at_the_end_is_refused",),
    ),
    Clause(
        "9112-7.1.1-ignore",
        "MUST",
        "unknown chunk extensions are ignored",
        ("test_body.py::test_chunk_extensions_are_ignored",),
    ),
    Clause(
        "9112-7.1.1-limit",
        "SHOULD",
        "the length of chunk extensions has a limit, with an answer of 4xx",
        ("test_body.py::test_a_chunk_extension_has_a_limit",),
    ),
    Clause(
        "9112-7.1.2-apart",
        "MUST",
        "trailers that are kept are kept apart from the head, or merged",
        ("test_body.py::test_trailers_are_kept_apart_from_the_head",),
    ),
    Clause(
        "9112-7.1.2-merge",
        "MUST NOT",
        "trailers are not merged into the head unless their definition allows it",
        (
            "test_body.py::test_trailers_are_kept_apart_from_the_head",
            "test_body.py::test_a_trailer_that_frames_routes_or_controls_is_refused",
        ),
    ),
    Clause(
        "9112-7.1.3-decoding",
        "grammar",
        "chunks are joined until one of size zero, then come trailers and an empty line",
        (
            "test_body.py::test_chunks_are_joined",
            "test_body.py::test_trailers_do_not_last_beyond_their_request",
        ),
    ),
    Clause(
        "9112-7.2-compression",
        "grammar",
        "gzip, deflate and compress are codings too: we implement none",
        ("test_body.py::test_a_coding_before_chunked_is_not_implemented",),
    ),
    Clause("9112-7.3-fields", "MUST", "a registration has certain fields", (), DOCUMENTS),
    Clause("9112-7.3-overlap", "MUST NOT", "coding names do not overlap", (), DOCUMENTS),
    Clause("9112-7.3-purpose", "MUST", "a registration fits the purpose", (), DOCUMENTS),
    Clause("9112-7.4-chunked", "MUST NOT", "TE does not name chunked", (), CLIENT),
    Clause("9112-7.4-connection", "MUST", "TE is named in Connection", (), CLIENT),
    # 8. Incomplete messages
    Clause("9112-8-client", "MUST", "incomplete responses are recorded as such", (), CLIENT),
    Clause(
        "9112-8-complete",
        "grammar",
        "a chunked body ends with its last chunk, one of a length with its last octet",
        (
            "test_body.py::test_a_chunked_body_cut_short_is_not_complete",
            "test_body.py::test_a_body_cut_short_is_not_complete",
        ),
    ),
    # 9. Connections
    Clause("9112-9.2-list", "MUST", "a client lists its open requests", (), CLIENT),
    Clause("9112-9.2-associate", "MUST", "a client matches responses in order", (), CLIENT),
    Clause("9112-9.2-unasked", "MUST NOT", "unasked data is no response", (), CLIENT),
    Clause(
        "9112-9.3-persistence",
        "grammar",
        "close ends the connection, else HTTP/1.1 persists, and HTTP/1.0 with keep-alive",
        (
            "test_parser.py::test_persistence_follows_the_version_and_the_connection_field",
            "test_encoder.py::test_the_connection_field_says_whether_it_goes_on",
        ),
    ),
    Clause("9112-9.3-client-close", "MUST", "a client without persistence closes", (), CLIENT),
    Clause(
        "9112-9.3-server-close",
        "MUST",
        "a server that will not persist says close in every final response",
        (
            "test_encoder.py::test_the_connection_field_says_whether_it_goes_on",
            "test_encoder.py::test_an_application_cannot_keep_alive_what_the_client_closes",
        ),
    ),
    Clause(
        "9112-9.3-read-all",
        "MUST",
        "the server reads a request's whole body, or closes after its response",
        (
            "server/test_http1_connection.py::test_a_request_behind_an_unread_body_is_answered",
            "test_parser.py::test_the_next_request_comes_only_after_the_end_of_this_one",
        ),
    ),
    Clause("9112-9.3-client-reads", "MUST", "a client reads whole responses", (), CLIENT),
    Clause("9112-9.3-proxy", "MUST NOT", "a proxy does not persist with 1.0", (), INTERMEDIARY),
    Clause(
        "9112-9.3.2-order",
        "MUST",
        "responses are sent in the order of their requests",
        (
            "server/test_http1_connection.py::test_pipelined_requests_are_answered_in_order",
            "server/test_http1_connection.py::test_answers_from_another_task_keep_the_order",
            "test_parser.py::test_pipelined_requests_are_read_in_order",
            "test_parser.py::test_nothing_of_the_next_request_is_read_before_it_is_asked_for",
        ),
    ),
    Clause("9112-9.3.2-retry", "MUST NOT", "no pipelining right after a failure", (), CLIENT),
    Clause("9112-9.6-no-more", "MUST NOT", "a client that said close asks no more", (), CLIENT),
    Clause("9112-9.6-client-closes", "MUST", "a client that said close closes", (), CLIENT),
    Clause(
        "9112-9.6-received",
        "MUST",
        "the server closes after answering a request that says close",
        (
            "server/test_http1_connection.py::test_a_client_that_asks_to_close_gets_a_close",
            "test_parser.py::test_persistence_follows_the_version_and_the_connection_field",
            "test_encoder.py::test_an_application_cannot_keep_alive_what_the_client_closes",
        ),
    ),
    Clause(
        "9112-9.6-received-no-more",
        "MUST NOT",
        "no request behind one that says close is processed",
        ("test_parser.py::test_nothing_of_the_next_request_is_read_before_it_is_asked_for",),
        CONNECTION,
    ),
    Clause(
        "9112-9.6-sent",
        "MUST",
        "the server closes after a response that says close",
        (
            "server/test_http1_connection.py::test_an_application_can_close_the_connection",
            "test_encoder.py::test_an_application_may_close_the_connection",
        ),
    ),
    Clause(
        "9112-9.6-sent-no-more",
        "MUST NOT",
        "no request is processed once a response said close",
        ("test_parser.py::test_nothing_of_the_next_request_is_read_before_it_is_asked_for",),
        CONNECTION,
    ),
    Clause("9112-9.6-cease", "MUST", "a client that is told close asks no more", (), CLIENT),
    Clause(
        "9112-9.6-say",
        "SHOULD",
        "the last response says close",
        ("test_encoder.py::test_the_connection_field_says_whether_it_goes_on",),
    ),
    Clause("9112-9.7-data", "MUST", "HTTP travels as TLS application data", (), TLS),
    Clause("9112-9.8-client", "MUST", "a client sends a closure alert", (), CLIENT),
    Clause("9112-9.8-server", "MUST", "a server attempts to exchange closure alerts", (), TLS),
    # 10. Enclosing messages as data
    Clause(
        "9112-10.1-fold",
        "MUST",
        "whoever consumes message/http unfolds its lines",
        (),
        "a body of that type is the application's, and opaque to the server",
    ),
    # 11. Security
    Clause(
        "9112-11.1-splitting",
        "grammar",
        "the protocol library alone can write CR and LF into a head",
        (
            "test_encoder.py::test_a_control_character_in_a_value_is_refused_before_any_octet_is_out",
            "test_encoder.py::test_trailers_and_interim_responses_cannot_be_split_either",
        ),
    ),
    Clause(
        "9112-11.2-smuggling",
        "grammar",
        "no two parsers should disagree on where a request ends",
        (
            "test_differential.py::test_every_divergence_from_a_peer_is_known",
            "test_properties.py::test_the_split_of_the_input_changes_nothing",
        ),
    ),
]
