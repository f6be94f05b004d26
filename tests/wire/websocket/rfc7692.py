"""The clauses of RFC 7692 that bind a server that has permessage-deflate.

Sections 5 and 6 say what any compression extension does, section 7 what permessage-deflate does.
"""

from __future__ import annotations

from tests.wire.clause import CLIENT, DOCUMENTS, Clause

E = "test_extensions.py::"
D = "test_deflate.py::"
M = "server/test_websocket_messages.py::"
W = "server/test_websocket_clients.py::"

PERMESSAGE_DEFLATE = [
    Clause(
        "7692-5-parameters",
        "MUST",
        "Another compression extension says what its parameters are.",
        reason=DOCUMENTS,
    ),
    Clause(
        "7692-7-unsupported",
        "MUST",
        "An offer that we cannot honour is declined.",
        (
            E + "test_a_window_that_zlib_cannot_deflate_with_is_declined",
            M + "test_without_the_setting_nothing_is_agreed_on",
        ),
    ),
    Clause(
        "7692-5.1-first",
        "grammar",
        "The client's offers are in its order of preference.",
        (E + "test_the_first_offer_that_can_be_accepted_is",),
    ),
    Clause("7692-5.1-response", "MUST", "A client fails on a bad response.", reason=CLIENT),
    Clause(
        "7692-6-bit",
        "MUST",
        "RSV1 of the first frame says whether the message is compressed.",
        (
            D + "test_what_we_compress_has_the_bit_and_no_tail",
            D + "test_messages_that_are_not_compressed_stand_between",
            M + "test_messages_are_compressed_where_the_client_offers_it",
            W + "test_websockets",
            W + "test_wsproto",
            D + "test_a_message_below_the_threshold_is_sent_as_it_is",
        ),
    ),
    Clause(
        "7692-6-others",
        "MUST NOT",
        "RSV1 is set neither on later fragments nor on control frames.",
        (
            D + "test_the_bit_belongs_to_the_first_frame_alone",
            D + "test_control_frames_are_never_compressed",
        ),
    ),
    Clause(
        "7692-6-fail",
        "MUST",
        "RSV1 where it may not be fails the connection.",
        (
            D + "test_the_bit_belongs_to_the_first_frame_alone",
            D + "test_control_frames_are_never_compressed",
        ),
    ),
    Clause(
        "7692-7-impossible",
        "MUST",
        "An offer with a parameter twice, unknown, or with a value that cannot be is declined.",
        (E + "test_an_impossible_offer_is_declined",),
    ),
    Clause(
        "7692-7.1.1.1-server",
        "MUST",
        "Accepting server_no_context_takeover is to answer with it.",
        (E + "test_each_parameter_has_its_answer",),
    ),
    Clause(
        "7692-7.1.1.1-honour",
        "MUST NOT",
        "A server that answered with it uses no window again.",
        (
            D + "test_our_window_outlives_a_message_unless_it_may_not",
            D + "test_zlib_keeps_no_state_without_takeover",
        ),
    ),
    Clause(
        "7692-7.1.1.2-client",
        "grammar",
        "client_no_context_takeover is a hint in an offer and binds in an answer.",
        (
            E + "test_each_parameter_has_its_answer",
            E + "test_what_the_client_leaves_open_is_ours_to_say",
            D + "test_the_window_ends_with_the_message_where_that_was_agreed",
        ),
    ),
    Clause(
        "7692-7.1.2-bits",
        "MUST",
        "A window is 8 to 15, in decimal without leading zeros.",
        (E + "test_an_impossible_offer_is_declined",),
    ),
    Clause(
        "7692-7.1.2.1-server",
        "MUST",
        "Accepting server_max_window_bits is to answer with it, the same or smaller.",
        (E + "test_every_answer_is_within_its_offer", E + "test_each_parameter_has_its_answer"),
    ),
    Clause(
        "7692-7.1.2.1-honour",
        "MUST NOT",
        "A server's window is no larger than it answered.",
        (D + "test_our_window_is_no_wider_than_was_agreed",),
    ),
    Clause(
        "7692-7.1.2.2-client",
        "MUST",
        "The answer's client_max_window_bits is at most the offer's.",
        (E + "test_every_answer_is_within_its_offer",),
    ),
    Clause(
        "7692-7.1.2.2-value",
        "MUST",
        "In an answer client_max_window_bits has a value.",
        (
            E + "test_each_parameter_has_its_answer",
            M + "test_the_settings_of_the_window_are_what_is_agreed_on",
        ),
    ),
    Clause(
        "7692-7.1.2.2-unasked",
        "MUST NOT",
        "It is not in the answer when it is not in the offer.",
        (E + "test_a_window_of_the_client_is_never_named_unasked",),
    ),
    Clause(
        "7692-7.2.1-window",
        "MUST NOT",
        "No window is larger than 32,768 bytes.",
        (
            D + "test_our_window_is_no_wider_than_was_agreed",
            E + "test_every_answer_is_within_its_offer",
        ),
    ),
    Clause(
        "7692-7.2.1-padding",
        "MUST",
        "A block with BFINAL set that does not end with an octet is padded with zeros.",
        reason="binds who sends such blocks: we set BFINAL in none",
    ),
    Clause(
        "7692-7.2.1-tail",
        "MUST",
        "The tail of the empty stored block is taken off what is sent.",
        (D + "test_what_we_compress_has_the_bit_and_no_tail",),
    ),
    Clause(
        "7692-7.2.2-tail",
        "MUST",
        "The tail is put back, and what comes is inflated.",
        (
            D + "test_a_message_in_one_block_is_inflated",
            D + "test_a_block_without_compression_is_inflated",
            D + "test_a_message_may_have_several_blocks",
        ),
    ),
    Clause(
        "7692-7.2.3.2-takeover",
        "grammar",
        "A window may reach back into the messages before.",
        (D + "test_the_window_outlives_a_message",),
    ),
    Clause(
        "7692-7.2.3.4-bfinal",
        "grammar",
        "A block may have BFINAL set.",
        (
            D + "test_a_block_with_bfinal_set_is_inflated",
            D + "test_final_blocks_without_end_are_refused",
        ),
    ),
    Clause(
        "7692-7.2.3.6-empty",
        "grammar",
        "An empty message is one octet.",
        (D + "test_an_empty_message_is_one_octet",),
    ),
    Clause(
        "7692-8-memory",
        "SHOULD",
        "A small message that inflates to a large one does not exhaust memory.",
        (
            D + "test_a_bomb_is_not_inflated",
            M + "test_a_bomb_is_not_inflated",
            D + "test_a_message_inflates_up_to_the_limit_and_no_further",
        ),
    ),
]
