"""The rows of the table of settings that are about limits."""

from __future__ import annotations

from collections.abc import Callable

from mogstored.config.rows.setting import Group, Merge, Scope, Setting
from mogstored.config.values import scalars
from mogstored.config.values.free_space import parse_min_free
from mogstored.config.values.networks import parse_allowed, parse_denied


def _networks(
    name: str, parse: Callable[[str], object], *, default_text: str, help: str, about: str
) -> Setting:
    """Return a row of the rules about clients, which all go into one list in their order."""
    return Setting(
        name=name,
        metavar="NETWORKS",
        group=Group.LIMITS,
        scope=Scope.SERVICE,
        parse=parse,
        merge=Merge.APPEND,
        default=(),
        default_text=default_text,
        is_list=True,
        into="access",
        is_reloadable=True,
        help=help,
        about=about,
    )


def _time_limit(name: str, *, help: str, about: str) -> Setting:
    """Return the row of a time-out, which is off by default."""
    return Setting(
        name=name,
        metavar="SECONDS",
        group=Group.LIMITS,
        scope=Scope.NODE,
        parse=scalars.parse_time_limit,
        merge=Merge.SHORTEST,
        default_text="never",
        is_reloadable=True,
        help=help,
        about=about,
    )


LIMITS = (
    _networks(
        "allow",
        parse_allowed,
        default_text="all clients",
        help="let clients of NETWORKS connect; may be repeated",
        about="A network is an address, alone or with the length of its prefix, as in `10.0.0.0/8`"
        " and `fd00::/8`, or `all`; several have commas between them. In front of them, `http:`,"
        " `httpget:`, `mgmt:` or `admin:` says which listener they are for, as in"
        " `mgmt:10.0.0.0/8`; without it, they are for all, the admin listener too. Of all lines of"
        " `allow` and `deny`, in their order, the first that matches a client counts. One that"
        " none matches is allowed, so the last line is `deny = all` as a rule.",
    ),
    _networks(
        "deny",
        parse_denied,
        default_text="none",
        help="close connections of clients of NETWORKS at once; may be repeated",
        about="Written as for `allow`. Connections that are open already stay.",
    ),
    _time_limit(
        "client_header_timeout",
        help="end a connection whose request's head is not whole after SECONDS",
        about="Counted from the first byte of the head; for the first request, also from the"
        " accept to the first byte. The client gets a 408 if it has sent a part, else just the"
        " end. All these time-outs count only what the client causes: not the time that a request"
        " waits for a device, and not that of the node itself. Each is checked four times as often"
        " as the shortest of them, so it may be late by a quarter of that.",
    ),
    _time_limit(
        "client_body_timeout",
        help="end a PUT when nothing of its body came for SECONDS",
        about="Counted between two successive reads. The client gets a 408, and nothing is left of"
        " the file.",
    ),
    _time_limit(
        "send_timeout",
        help="reset a connection whose client has taken nothing of an answer for SECONDS",
        about="Counted between two successive writes.",
    ),
    _time_limit(
        "keepalive_timeout",
        help="close a connection for HTTP that has been idle for SECONDS",
        about="Trackers keep idle connections for days, and only lose time by this: they connect"
        " again. Connections to the sidechannel have no time-out at all.",
    ),
    Setting(
        name="min_free",
        metavar="SIZE",
        group=Group.LIMITS,
        scope=Scope.NODE,
        parse=parse_min_free,
        default_text="files are stored until a device is full",
        is_reloadable=True,
        help="answer 507 to a PUT after which a device had less than SIZE free",
        about="`10G`, say, or a part of each device, as in `5%`. A file that replaces another one"
        " needs room beside it. GET, HEAD and DELETE go on. The write test of a tracker fails as"
        " well: it sends no new files to the device until it has room again, and finds that out"
        " by its next test. Decided by the last look at the device and what this process has"
        " stored since. Within 1 GiB of the limit a look comes ten times a second, if"
        " files are stored or removed; worker processes together may pass the limit by what the"
        " others store in between.",
    ),
)
