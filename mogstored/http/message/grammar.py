"""The grammar of requests: one pattern for each rule of the RFCs that the node reads.

Above each pattern stands the rule it implements. It is narrower where MogileFS needs less,
so that less can be said in two ways, and wider where a client in use needs it; both are said.

llhttp (`httptools`) reads fields as well, strictly. Patterns for them are here where a field is
judged before the head is whole, or is mended first.
"""

from __future__ import annotations

import re

from mogstored.files.paths import MAX_PATH

# From the first byte of the request line to the empty line's CRLF. The RFCs set no limit.
MAX_HEAD = 65_535

# RFC 9112 section 2.1
#   HTTP-message = start-line CRLF *( field-line CRLF ) CRLF [ message-body ]
END_OF_HEAD = b"\r\n\r\n"

# RFC 9110 section 9.1
#   method = token
# Narrower: MogileFS has these.
METHODS = (b"GET", b"HEAD", b"PUT", b"DELETE", b"MKCOL")
# RFC 9110 section 14.2: a Range means nothing to other methods, whatever it says.
RANGED_METHODS = (b"GET", b"HEAD")

# RFC 9112 section 2.3
#   HTTP-version = HTTP-name "/" DIGIT "." DIGIT
# Narrower: HTTP/1.0 and HTTP/1.1.
VERSIONS = (b"HTTP/1.0\r\n", b"HTTP/1.1\r\n")

# RFC 9112 section 3.2.2, for clients that ask as if through a proxy
#   absolute-form = absolute-URI
# Narrower: of http only. Wider: any authority, which means nothing here.
_AUTHORITY = rb"http://[^/\x00-\x20\x7f]+"

# RFC 9112 section 3.2.1
#   origin-form = absolute-path [ "?" query ]
# Narrower: no query, no escapes, MAX_PATH bytes. Leading slashes count as one, which belongs
# to the path's length.
_PATH = rb"/++([A-Za-z0-9/.-]{0,%d})" % (MAX_PATH - 1)

TARGET = re.compile(rb"(?:%b)?%b" % (_AUTHORITY, _PATH))
# What may become a target with more bytes.
TARGET_BEGIN = re.compile(rb"(?:%b)?(?:%b)?" % (_AUTHORITY, _PATH))

# RFC 9112 section 3
#   request-line = method SP request-target SP HTTP-version
# Section 2.2: a server should ignore an empty line before it; one is ignored.
REQUEST_LINE = re.compile(
    rb"(?:\r\n)?(%b) (?:%b)?%b HTTP/1\.[01]\r\n" % (b"|".join(METHODS), _AUTHORITY, _PATH)
)
# The last digit of the version and its CRLF, at the end of REQUEST_LINE.
END_OF_LINE = 3

# RFC 9112 section 5, RFC 9110 sections 5.1, 5.5 and 5.6.2
#   field-line = field-name ":" OWS field-value OWS
#   field-name = token
#   field-vchar = VCHAR / obs-text
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\x00-\x08\x0a-\x1f\x7f]*)")

# RFC 9112 section 5.2
#   obs-fold = OWS CRLF RWS
FOLD = re.compile(rb"\r\n[ \t]+")
# A folded coding, or a continuation that looks like a field of its own: read in two ways.
AMBIGUOUS_FOLD = re.compile(
    rb"\r\n(?:transfer-encoding[^\r\n]*\r\n[ \t]"
    rb"|[ \t]+(?:transfer-encoding|content-length)[ \t]*:)",
    re.IGNORECASE,
)

# RFC 9110 section 8.6
#   Content-Length = 1*DIGIT
LENGTH_NAME = re.compile(rb"\r\ncontent-length:", re.IGNORECASE)
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*(?=\r\n)", re.IGNORECASE)
# llhttp notices an overflow before the line ends.
LENGTH_SO_FAR = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*(?:\r\n|\Z)", re.IGNORECASE)

# RFC 1864 section 2
#   md5-digest = <base64 of 128 bit MD5 digest as per RFC 1321>
MD5 = re.compile(rb"[A-Za-z0-9+/]{22}==")

# RFC 9110 sections 14.1.1 and 14.2
#   Range = range-unit "=" range-set
#   range-set = 1#range-spec
#   int-range = first-pos "-" [ last-pos ]
#   suffix-range = "-" suffix-length
# Narrower: bytes only. Wider: "-" alone, which no file can satisfy.
RANGE = re.compile(rb"bytes=([0-9]*)-([0-9]*)")
SEVERAL_RANGES = re.compile(rb"bytes=[0-9]*-[0-9]*(?:[ \t]*,[ \t]*[0-9]*-[0-9]*)+")

# RFC 9110 section 14.4
#   Content-Range = range-unit SP ( range-resp / unsatisfied-range )
#   range-resp = incl-range "/" ( complete-length / "*" )
# Narrower: bytes, and no unsatisfied-range. Wider: blanks for the SP.
CONTENT_RANGE = re.compile(rb"bytes[ \t]+([0-9]+)-([0-9]+)/(\*|[0-9]+)")

# RFC 9112 section 7.1
#   chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
#   chunk-size = 1*HEXDIG
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]*")
# Section 7.1.1
#   chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
# What may follow the digits, the CR of the line's end included; an extension means nothing.
AFTER_CHUNK_SIZE = frozenset(b"; \t\r")
