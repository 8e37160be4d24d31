"""The rows of the table of settings that are about files which stay as they were stored."""

from __future__ import annotations

from mogstored.config.rows.setting import Group, Scope, Setting
from mogstored.config.values import scalars
from mogstored.config.values.duration import parse_duration

CHECKSUM_AT_REST = Setting(
    name="checksum_at_rest",
    metavar="WHICH",
    group=Group.SERVE,
    scope=Scope.SERVICE,
    parse=scalars.parse_checksum_at_rest,
    default=scalars.CHECKSUMS_AT_REST[0],
    choices=scalars.CHECKSUMS_AT_REST,
    help="which checksum is kept beside each file that is stored",
    about="In an extended attribute of the file, for `mogstored scrub` to compare. With `auto`,"
    " the MD5 of an upload with a Content-MD5, which is computed anyway; with `md5` or `sha256`,"
    " that of every upload. A PUT with a Content-Range removes it. Needs a file system with"
    " attributes for users.",
)

SCRUB = (
    Setting(
        name="scrub",
        metavar="PERIOD",
        group=Group.SERVE,
        scope=Scope.NODE,
        parse=parse_duration,
        default_text="files are not read again",
        help="read each file again once in PERIOD, and compare it with its checksum",
        about="`30d`, say; the units are s, m, h and d. In the background, one reader a disk,"
        " which rests while requests use the device. A file that differs is logged as an error,"
        " counted, and listed on the admin listener; it is never changed.",
    ),
    Setting(
        name="scrub_rate",
        metavar="MIB",
        group=Group.SERVE,
        scope=Scope.NODE,
        parse=scalars.parse_scrub_rate,
        default=20,
        help="read at most MIB mebibytes a second from each disk for that",
    ),
)
