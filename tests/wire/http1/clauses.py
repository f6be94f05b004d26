"""What RFC 9112 and RFC 9110 ask, clause by clause, and the tests that show it.

Of RFC 9112 every MUST and MUST NOT is here, whomever it binds, so that the table can be counted
against the document. Of RFC 9110 there are those which the protocol layer of an origin server can
honour. A clause has tests, or a reason why there is nothing to test here, or both where a test
shows that we keep to the strict side of a choice.

The wording is ours; the documents decide.
"""

from __future__ import annotations

from tests.wire.http1.rfc9110 import SEMANTICS
from tests.wire.http1.rfc9112 import HTTP_1_1

CLAUSES = [*HTTP_1_1, *SEMANTICS]
