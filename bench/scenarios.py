"""Every scenario and its parts, as one table, in the order of `--list`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.balance import report as balance
from bench.balance import workers
from bench.base.file_systems import KINDS, TMPFS
from bench.base.outcome import Outcome
from bench.environment import FULL, Environment, Scale
from bench.examples import report as examples
from bench.isolation import report as isolation
from bench.life import digest, footprint, start, upgrade, watchers, worker
from bench.poller import report as poller
from bench.requests import (
    beside,
    devices,
    free_threaded,
    fresh,
    growth,
    large,
    observability,
    quick,
    scrapes,
    scrubbed,
)
from bench.requests.beside import CONNECTIONS, workload
from bench.scale import report as scale
from bench.servers.workloads import GIB, MIB, PUT_AGAIN, WORKLOADS


@dataclass(frozen=True, slots=True)
class Part:
    title: str
    measure: Callable[[Environment], Iterable[Outcome]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Parts that are measured in turn, with the defaults of their rounds."""

    about: str
    parts: Mapping[str, Part]
    tools: tuple[str, ...] = ("nginx", "wrk")
    on_linux: bool = True
    """Whether it needs Linux; else it runs on every system, and starts no node."""
    rounds: int = 5
    seconds: float = 2
    space_bytes: Callable[[Scale], int] = lambda _: GIB
    plot: Callable[[Sequence[Outcome], Path], None] | None = None
    with_table: bool = False
    """Whether all of it is shown in Markdown in the end."""
    strict: bool = False
    """Whether a missed goal is a failure."""


def _for_stored(scale: Scale) -> int:
    """Room for what a load stores until it is removed."""
    return GIB * (6 if scale.idle == FULL.idle else 1)


_IDLE_MEMORY = Part("10,000 idle connections, memory they take", growth.memory)
_BESIDE_IDLE = Part("10,000 idle connections, CPU of active ones", growth.active_beside_idle)
_THREADS = Part("200 disk threads, CPU beside 4", beside.threads)
_DIGEST = Part("MD5 on the sidechannel, rate beside hashlib", digest.measure)
_HUNDRED = Part("1 of 100 devices hangs, p99 of the others", isolation.hundred)

DEFAULT = "requests"
SCENARIOS = {
    DEFAULT: Scenario(
        "requests beside nginx and cmogstored, or --against another checkout",
        {name: Part(work.title, workload(name)) for name, work in WORKLOADS.items()},
        space_bytes=_for_stored,
    ),
    "quick": Scenario(
        "the guard: CPU beside nginx, against recorded.json; a regression is status 1",
        {name: Part(WORKLOADS[name].title, quick.guarding(name)) for name in quick.NAMES},
        rounds=4,
        seconds=1,
        strict=True,
    ),
    "budgets": Scenario(
        "every budget of the node: goal, figure, verdict; 8 minutes",
        {
            "get-1k": Part("GET 1 KiB, CPU beside nginx", workload("get-1k")),
            "get-1k-cmogstored": Part("GET 1 KiB, CPU beside cmogstored", beside.to_cmogstored),
            "get-16k": Part("GET 16 KiB, CPU beside nginx", workload("get-16k", [CONNECTIONS])),
            "get-64k": Part("GET 64 KiB, CPU beside nginx", workload("get-64k", [CONNECTIONS])),
            "get-1m": Part("GET 1 MiB, rate beside the best", workload("get-1m", [CONNECTIONS])),
            "get-100m": Part("GET 100 MiB, rate beside the best", beside.get_large),
            **{
                fresh.goal_on(kind): Part(
                    f"PUT 1 KiB, {kind}, CPU beside nginx", fresh.one_of(WORKLOADS["put-1k"], kind)
                )
                for kind in KINDS
            },
            "put-64k": Part(
                "PUT 64 KiB, tmpfs, CPU beside nginx", fresh.one_of(WORKLOADS["put-64k"], TMPFS)
            ),
            "put-1m": Part("PUT 1 MiB, CPU beside nginx", workload("put-1m", [CONNECTIONS])),
            "put-1g": Part("PUT 1 GiB, CPU beside nginx", large.put_1g),
            "put-md5": Part("PUT with Content-MD5, rate beside hashlib", large.put_md5),
            "digest": _DIGEST,
            "threads": _THREADS,
            "hung": _HUNDRED,
            "idle": _IDLE_MEMORY,
            "beside-idle": _BESIDE_IDLE,
            "process": Part("memory of a node before clients", footprint.one_process),
            "further-worker": Part("memory of each further worker", footprint.further_workers),
            "devices": Part("500 devices, CPU beside 1", devices.many),
            "usage": Part("usage rounds of 500 devices, p99 beside none", devices.usage_rounds),
            "balance": Part("4 workers, 4000 connections, evenness", workers.measure),
        },
        space_bytes=lambda scale: _for_stored(scale) + 2 * scale.put_large_bytes,
    ),
    "fresh": Scenario(
        "what users do, in one table: GETs, PUTs of new names on new file systems; 20 min; root",
        {
            **{
                name: Part(WORKLOADS[name].title, workload(name, [CONNECTIONS]))
                for name in ("get-1k", "get-16k", "get-64k")
            },
            **{f"put-1k-{kind}": Part(f"PUT 1 KiB, {kind}", fresh.puts(kind)) for kind in KINDS},
            **{
                f"{work.name}-{kind}": Part(f"{work.title}, {kind}", fresh.one_of(work, kind))
                for work in (WORKLOADS["put-64k"], PUT_AGAIN)
                for kind in KINDS
            },
            "processes": Part("one process beside as many as cores", fresh.processes),
        },
        space_bytes=lambda _: 4 * GIB,
        with_table=True,
    ),
    "growth": Scenario(
        "how the cost of a request grows: connections, devices, processes, threads, sizes",
        {
            "connections": Part("CPU with 1 to 10,000 idle connections", growth.connections),
            "devices": Part("CPU with 1 to 500 devices", growth.device_counts),
            "processes": Part("CPU with 1 to 4 worker processes", growth.worker_processes),
            "threads": _THREADS,
            "sizes": Part("files of 1 KiB to 1 GiB, beside nginx", growth.sizes),
        },
        space_bytes=lambda scale: 2 * GIB + 2 * scale.put_large_bytes,
    ),
    "free-threaded": Scenario(
        "a Python without the interpreter lock beside one with it; `make free-threaded` makes it",
        {
            "get-1k-free": Part(
                "GET 1 KiB, CPU", free_threaded.beside_lock("get-1k", free_threaded.GET_CPU)
            ),
            "put-1k-free": Part(
                "PUT 1 KiB, CPU", free_threaded.beside_lock("put-1k", free_threaded.PUT_CPU)
            ),
            "put-1k-cores": Part("PUT 1 KiB, rate beside one running worker", free_threaded.cores),
            "get-64k-free": Part("GET 64 KiB, rate beside two processes", free_threaded.processes),
        },
        tools=("wrk",),
        rounds=9,
        space_bytes=lambda _: 4 * GIB,
    ),
    "durability": Scenario(
        "PUT at each level of durability, on new file systems, beside nginx; root",
        {
            "ext4": Part("PUT 1 KiB on ext4", fresh.levels("ext4")),
            "xfs": Part("PUT 1 KiB on xfs", fresh.levels("xfs")),
        },
        space_bytes=lambda _: 4 * GIB,
        with_table=True,
    ),
    "observability": Scenario(
        "what an admin listener and an access log cost a request; the goals are for both",
        {
            "get-1k": Part("GET 1 KiB, CPU beside off", observability.observed("get-1k")),
            "put-1k": Part("PUT 1 KiB, CPU beside off", observability.observed("put-1k")),
            "get-1k-admin": Part(
                "GET 1 KiB without a log", observability.observed("get-1k", logs=False)
            ),
            "put-1k-admin": Part(
                "PUT 1 KiB without a log", observability.observed("put-1k", logs=False)
            ),
        },
        tools=("wrk",),
        rounds=21,
        seconds=1,
    ),
    "scrapes": Scenario(
        "what metrics of 500 devices cost: the admin process, memory, other requests",
        {
            "exposition": Part("a scrape of 500 devices, CPU", scrapes.exposition),
            "metrics-memory": Part("metrics of 500 devices, memory", scrapes.memory),
            "scraped": Part("500 devices scraped each second, p99", scrapes.delayed),
        },
        tools=("wrk",),
        rounds=9,
    ),
    "scrub": Scenario(
        "what a scrub in the background costs requests for the same device",
        {
            "get": Part("GET 16 KiB beside a scrub, p99", scrubbed.beside_scrub("GET")),
            "put": Part("PUT 1 KiB beside a scrub, p99", scrubbed.beside_scrub("PUT")),
        },
        tools=("wrk",),
        rounds=21,
    ),
    "idle": Scenario(
        "10,000 idle connections: memory they take, CPU of active ones beside them",
        {"memory": _IDLE_MEMORY, "active": _BESIDE_IDLE},
    ),
    "large": Scenario(
        "one file of 10 GiB (--gib): rate, CPU, memory; 64 downloads at once",
        {
            "get": Part("GET of 10 GiB, beside nginx", large.get),
            "put": Part("PUT of 10 GiB, beside nginx", large.put),
            "share": Part("64 downloads at once, evenness", large.share_among_many),
        },
        rounds=1,
        seconds=1,
        space_bytes=lambda scale: GIB + scale.large_bytes,
    ),
    "isolation": Scenario(
        "what one bad disk does to requests for the others, beside peers; root, /dev/fuse",
        {
            "hung": Part("1 of 10 devices hangs", isolation.hung),
            "slow": Part("1 of 8 devices is slow", isolation.slow),
            "hundred": _HUNDRED,
        },
        plot=isolation.plot,
    ),
    "life": Scenario(
        "what is not a request: checksums, watchers, starts, upgrades, a killed worker; a minute",
        {
            "digest": _DIGEST,
            "watch": Part("connect to first block of a 401st watcher", watchers.measure),
            "start": Part("exec to the first answer with 500 devices", start.measure),
            "upgrade": Part("requests lost in 20 upgrades", upgrade.measure),
            "worker": Part("a worker is killed: when the next one answers", worker.measure),
        },
        tools=(),
        space_bytes=lambda scale: GIB + scale.digest_mib * MIB,
    ),
    "scale": Scenario(
        "what trackers, Prometheus and upgrades of a cluster ask of a node; 3 minutes",
        {
            "watched": Part("a node under the monitors of 1 to 10 trackers", scale.watched),
            "scraped": Part("series of a node, by its devices", scale.scraped),
            "upgraded": Part("upgrades while trackers watch", scale.upgraded),
        },
        tools=(),
        seconds=30,
        space_bytes=lambda _: GIB // 4,
    ),
    "balance": Scenario(
        "four ways of accepting, and one queue beside many; 45 s; on every system",
        {
            "connections": Part("connections by process, for four ways", balance.connections),
            "latency": Part("short requests beside long ones, four layouts", balance.latencies),
        },
        tools=(),
        on_linux=False,
        seconds=1,
        space_bytes=lambda _: MIB,
        plot=balance.plot,
    ),
    "examples": Scenario(
        "the examples of mogpoll beside the same programs with asyncio and threads; 2 min",
        {
            "chat": Part("a line's way to 500 clients", examples.chats),
            "back-end": Part("pages beside a slow back end", examples.slow_back_ends),
        },
        tools=(),
        on_linux=False,
        space_bytes=lambda _: MIB,
    ),
    "poller": Scenario(
        "what mogpoll costs beside bare kernel calls, selectors, asyncio; 30 s; on every system",
        {
            "cycle": Part("wait and rearm, on top of the bare calls", poller.cycles),
            "growth": Part("the same with 10 and with 10,000 registered", poller.growth),
            "memory": Part("memory of a registration", poller.memories),
            "deadlines": Part("deadlines of 10,000 tasks", poller.deadline_costs),
            "pingpong": Part("a byte bounced over each of 1,000 socket pairs", poller.pingpongs),
        },
        tools=(),
        on_linux=False,
        rounds=9,
        seconds=1,
        space_bytes=lambda _: MIB,
    ),
}
