"""The rows of the table of settings that are about disks with errors."""

from __future__ import annotations

from mogstored.config.rows.setting import Group, Merge, Scope, Setting
from mogstored.config.values import scalars

SICK_DISKS = (
    Setting(
        name="error_write_limit",
        metavar="N",
        group=Group.LIMITS,
        scope=Scope.NODE,
        parse=scalars.parse_error_limit,
        default=20,
        is_reloadable=True,
        help="store nothing on a device after N write errors within error_window; 0: go on",
        about="EIO, ENXIO, EROFS, EUCLEAN and EBADMSG count, once for each file, of PUT and"
        " DELETE. The device is full for trackers then, and a PUT gets a 507; files are read and"
        " removed as before. A minute later, and then at growing intervals of up to an hour, a"
        " file is written, synced, read back and removed; when that succeeds, the device is used"
        " again. `mogstored device` does the same by hand.",
    ),
    Setting(
        name="error_read_limit",
        metavar="N",
        group=Group.LIMITS,
        scope=Scope.NODE,
        parse=scalars.parse_error_limit,
        default=0,
        default_text="0, go on",
        is_reloadable=True,
        help="stop using a device after N read errors within error_window; 0: go on",
        about="The same errors, when files are read. All requests for the device get a 500 at"
        " once then, its usage file included, so that trackers take it for unreachable. It comes"
        " back by the same check. Off by default: a disk with some bad places may have the last"
        " copy of a file, and it is read from while its files are moved elsewhere.",
    ),
    Setting(
        name="error_window",
        metavar="SECONDS",
        group=Group.LIMITS,
        scope=Scope.NODE,
        parse=scalars.parse_interval,
        merge=Merge.SHORTEST,
        default=60,
        is_reloadable=True,
        help="count the errors of a device that are younger than SECONDS",
    ),
)
