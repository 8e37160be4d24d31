"""Every budget's row: its name in `bench.goals`, what it is, and what measures it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.budgets import crowds, disks, requests, uploads
from bench.budgets.setting import Measure


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    measure: Measure


# In the order of the table.
ROWS = {
    "get-1k": Row("GET 1 KiB, CPU beside nginx", requests.beside_nginx("get-1k")),
    "get-1k-cmogstored": Row("GET 1 KiB, CPU beside cmogstored", requests.beside_cmogstored),
    "get-64k": Row("GET 64 KiB, CPU beside nginx", requests.beside_nginx("get-64k")),
    "get-1m": Row("GET 1 MiB, rate beside the best", requests.rate_beside_best("get-1m")),
    "get-100m": Row("GET 100 MiB, rate beside the best", requests.rate_beside_best("get-100m")),
    "put-1k": Row("PUT 1 KiB, CPU beside nginx", requests.beside_nginx("put-1k")),
    "put-1m": Row("PUT 1 MiB, CPU beside nginx", requests.beside_nginx("put-1m")),
    "put-1g": Row("PUT 1 GiB, CPU beside nginx", uploads.put_large),
    "put-md5": Row("PUT with Content-MD5, rate beside hashlib", uploads.put_md5),
    "digest": Row("MD5 on the sidechannel, rate beside hashlib", disks.checksum),
    "threads": Row("200 disk threads, CPU beside 4", requests.threads),
    "hung": Row("1 of 100 devices hangs, p99 of the others", disks.hung),
    "idle": Row("10,000 idle connections, memory they take", crowds.memory),
    "beside-idle": Row("10,000 idle connections, CPU of active ones", crowds.active_beside_idle),
    "devices": Row("500 devices, CPU beside 1", disks.many),
    "usage": Row("usage rounds of 500 devices, p99 beside none", disks.usage_round),
    "balance": Row("4 workers, 4000 connections, evenness", crowds.balance),
}
