"""The one table of settings.

A row is an option and, unless it is about one command line only, a key of config files, with
dashes in the one and underscores in the other. The parser, the files, the merging, what
`--check-config` prints, the manual pages, docs/configuration.md and the completions are all
drawn from it; a field of the same name in `mogstored.config.model` receives the value.
"""

from __future__ import annotations

from mogstored.config.rows.integrity import CHECKSUM_AT_REST, SCRUB
from mogstored.config.rows.limits import LIMITS
from mogstored.config.rows.setting import Group, Merge, Scope, Setting
from mogstored.config.rows.sick_disks import SICK_DISKS
from mogstored.config.values import scalars
from mogstored.config.values.addresses import parse_address, parse_addresses
from mogstored.config.values.processes import AUTO, ProcessCount, parse_worker_processes

SETTINGS = (
    Setting(
        name="config",
        short="-c",
        metavar="FILE",
        group=Group.SERVE,
        scope=Scope.COMMAND,
        help="read settings from FILE; may be repeated",
        about="No file is read by default. The format is that of mogstored.conf(5).",
    ),
    Setting(
        name="multi",
        group=Group.SERVE,
        scope=Scope.COMMAND,
        help="allow several --config, each for a service of its own",
    ),
    Setting(
        name="docroot",
        metavar="DIR",
        group=Group.SERVE,
        scope=Scope.SERVICE,
        parse=scalars.parse_path,
        merge=Merge.SAME_FILE,
        default="/var/mogdata",
        is_exclusive=True,
        help="directory that holds dev1, dev2, ...",
        about="It must exist. A device is a directory below it, or better the mount point of a"
        " disk.",
    ),
    Setting(
        name="httplisten",
        metavar="ADDR",
        group=Group.SERVE,
        scope=Scope.SERVICE,
        parse=parse_address,
        default="0.0.0.0:7500",
        default_text="0.0.0.0:7500 if no listener is named",
        is_exclusive=True,
        help="serve HTTP on ADDR",
        about="All methods are served.",
    ),
    Setting(
        name="httpgetlisten",
        metavar="ADDR",
        group=Group.SERVE,
        scope=Scope.SERVICE,
        parse=parse_address,
        is_exclusive=True,
        help="serve only GET and HEAD on ADDR",
    ),
    Setting(
        name="mgmtlisten",
        metavar="ADDR",
        group=Group.SERVE,
        scope=Scope.SERVICE,
        parse=parse_address,
        default="0.0.0.0:7501",
        default_text="0.0.0.0:7501 if no listener is named",
        is_exclusive=True,
        help="serve the tracker's sidechannel on ADDR",
    ),
    Setting(
        name="require_mount",
        group=Group.SERVE,
        scope=Scope.SERVICE,
        merge=Merge.ANY,
        default=False,
        help="refuse a device that is not a file system of its own",
        about="It answers with errors, as a broken disk does. Without this, a disk that was not"
        " mounted looks like an empty one, and trackers take the files on it for lost.",
    ),
    Setting(
        name="adminlisten",
        metavar="ADDR",
        group=Group.SERVE,
        scope=Scope.NODE,
        parse=parse_addresses,
        merge=Merge.JOIN,
        default=(),
        default_text="no admin listener",
        is_list=True,
        help="serve the status page, metrics and health on ADDR; may be repeated",
        about="Several addresses may also be written as one value, with commas between them. A"
        " process of its own answers there, while all disks hang, too. It only shows; there is no"
        " authentication, so keep it inside.",
    ),
    Setting(
        name="durability",
        metavar="LEVEL",
        group=Group.SERVE,
        scope=Scope.SERVICE,
        parse=scalars.parse_durability,
        default=scalars.DURABILITY_LEVELS[0],
        choices=scalars.DURABILITY_LEVELS,
        help="what is on the disk before a PUT or DELETE is answered",
        about="With `none`, the system writes it some seconds later. With `data`, a file is"
        " on the disk before it gets its name; with `full`, the name is there too, or its removal,"
        " so that everything acknowledged survives a power cut.",
    ),
    CHECKSUM_AT_REST,
    *SCRUB,
    Setting(
        name="daemonize",
        short="-d",
        group=Group.RUN,
        scope=Scope.NODE,
        merge=Merge.ANY,
        default=False,
        help="detach, once nothing can fail any more",
        about="All paths, that of the configuration file and all parts of `PATH` included, must be"
        " absolute. The command ends with status 0 when the node serves. From then on it logs to"
        " syslog(3).",
    ),
    Setting(
        name="pidfile",
        metavar="FILE",
        group=Group.RUN,
        scope=Scope.NODE,
        parse=scalars.parse_path,
        merge=Merge.SAME_FILE,
        help="keep the number of the process in FILE",
        about="The node does not start if the file names a node that runs. While an upgrade is"
        " under way, the number of the old process is in `FILE.oldbin`.",
    ),
    Setting(
        name="maxconns",
        metavar="N",
        group=Group.RUN,
        scope=Scope.NODE,
        parse=scalars.parse_maxconns,
        merge=Merge.SUM,
        default=10_000,
        help="raise the limit of open files to N",
        about="The limit is never lowered, and no client is refused because of it.",
    ),
    Setting(
        name="worker_processes",
        metavar="N",
        group=Group.RUN,
        scope=Scope.NODE,
        parse=parse_worker_processes,
        default=ProcessCount(0),
        default_text="0, one process",
        choices=(AUTO,),
        help="serve from N processes below a master; auto: one for each processor",
        about="For more work than one processor can do. `auto` counts the processors that the"
        " node may use when it starts: by its affinity, and by the processor time that its control"
        " group grants it (`CPUQuota=` of systemd, `docker run --cpus`), rounded up. A worker that"
        " dies is replaced.",
    ),
    Setting(
        name="aio_threads",
        metavar="N",
        group=Group.RUN,
        scope=Scope.NODE,
        parse=scalars.parse_aio_threads,
        default_text="by the number of devices",
        help="start with N threads for the disks",
        about="The sidechannel's `server aio_threads = N` changes the number while the node runs.",
    ),
    Setting(
        name="stop_timeout",
        metavar="SECONDS",
        group=Group.RUN,
        scope=Scope.NODE,
        parse=scalars.parse_interval,
        merge=Merge.SHORTEST,
        default_text="never",
        help="when stopping, give up after SECONDS what has not ended",
        about="Without it, a stop waits for the slowest client and the slowest disk. The log says"
        " how many requests were given up, and at which devices. Cleaning up may take five"
        " seconds more.",
    ),
    Setting(
        name="usage_interval",
        metavar="SECONDS",
        group=Group.RUN,
        scope=Scope.NODE,
        parse=scalars.parse_interval,
        default=10,
        variable="MOG_DISK_USAGE_INTERVAL",
        help="look every SECONDS how full the devices are",
    ),
    Setting(
        name="iostat",
        opposite="do not",
        group=Group.RUN,
        scope=Scope.NODE,
        merge=Merge.ALL,
        default=True,
        is_lenient=True,
        help="report to trackers how busy the disks are (the default)",
        about="The sidechannel reports it to connections that sent `watch`. Without it each device"
        " has a dash there, and the command in `MOG_IOSTAT_CMD` is not run.",
    ),
    Setting(
        name="log_format",
        metavar="FORMAT",
        group=Group.RUN,
        scope=Scope.NODE,
        parse=scalars.parse_log_format,
        default=scalars.LOG_FORMATS[0],
        choices=scalars.LOG_FORMATS,
        help="write the log as lines of text, or as one JSON object each",
    ),
    *LIMITS,
    *SICK_DISKS,
    Setting(
        name="access_log",
        metavar="FILE",
        group=Group.RUN,
        scope=Scope.NODE,
        parse=scalars.parse_path,
        is_reloadable=True,
        default_text="none",
        help="write a line for each HTTP request to FILE, to stdout if it is -, or to syslog",
        about="`syslog` is the system's log, `./syslog` a file. The directory must exist. USR1 has"
        " the file opened again after it was renamed. What a full or slow disk does not take is"
        " dropped and counted; requests never wait for it.",
    ),
    Setting(
        name="access_log_format",
        metavar="FORMAT",
        group=Group.RUN,
        scope=Scope.NODE,
        parse=scalars.parse_access_log_format,
        default=scalars.ACCESS_LOG_FORMATS[0],
        choices=scalars.ACCESS_LOG_FORMATS,
        is_reloadable=True,
        help="write the access log in the combined format with more fields, or as JSON",
    ),
    Setting(
        name="log_level",
        metavar="LEVEL",
        group=Group.RUN,
        scope=Scope.NODE,
        parse=scalars.parse_log_level,
        default="info",
        choices=scalars.LOG_LEVELS,
        is_reloadable=True,
        help="leave out of the log what is less important than LEVEL",
        about="From the most to the fewest lines: `debug`, `info`, `notice`, `warning`, `error`.",
    ),
    Setting(
        name="strict",
        group=Group.RUN,
        scope=Scope.COMMAND,
        help="take warnings about the configuration for errors",
        about="The node does not start then, and `--check-config` fails. What it warns of only"
        " because a node runs already is no error.",
    ),
    Setting(
        name="skipconfig",
        short="-s",
        group=Group.OTHERS,
        scope=Scope.NODE,
        is_lenient=True,
        is_kept=False,
        help="does nothing",
    ),
    Setting(
        name="serverbin",
        metavar="PATH",
        group=Group.OTHERS,
        scope=Scope.NODE,
        parse=str,
        is_kept=False,
        help="ignored, with a warning",
        about="No other program is started.",
    ),
    Setting(
        name="server",
        metavar="NAME",
        group=Group.OTHERS,
        scope=Scope.SERVICE,
        parse=str,
        is_hidden=True,
        is_kept=False,
        help="which program serves HTTP",
        about="With `none`, HTTP is not served, because another program does. With `perlbal`, it"
        " is, and there is a warning; that is what configuration files for other nodes have.",
    ),
    Setting(
        name="check_config",
        group=Group.PRINT,
        scope=Scope.COMMAND,
        help="show the merged configuration and all that is wrong with it; start nothing",
        about="That includes an address in use and a pidfile that cannot be written; a conflict"
        " with a running node is a warning. The exit status is 0 if there are no errors, else 1.",
    ),
    Setting(name="help", short="-?", group=Group.PRINT, scope=Scope.COMMAND, help="show this"),
    Setting(
        name="usage", group=Group.PRINT, scope=Scope.COMMAND, help="show the options in short"
    ),
    Setting(
        name="version", short="-V", group=Group.PRINT, scope=Scope.COMMAND, help="show the version"
    ),
)

BY_NAME = {setting.name: setting for setting in SETTINGS}
KEYS = {setting.name: setting for setting in SETTINGS if setting.is_key}
LISTENERS = tuple(
    setting.name
    for setting in SETTINGS
    if setting.metavar == "ADDR" and setting.scope is Scope.SERVICE
)
EXCLUSIVE = tuple(setting.name for setting in SETTINGS if setting.is_exclusive)


def kept(scope: Scope) -> list[Setting]:
    """Return the rows whose values the fields of a service, or of the node, receive."""
    rows = [setting for setting in SETTINGS if setting.scope is scope and setting.is_kept]
    # Of several for one field, the first stands for all.
    return [*{setting.field: setting for setting in reversed(rows)}.values()][::-1]
