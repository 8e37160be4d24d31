"""One node: asked again and again, on its admin listener or on the sidechannel."""

from __future__ import annotations

import time

from mogstored.top.arguments import NodeAddress, Options
from mogstored.top.model import Node, with_rates
from mogstored.top.sources.network import BadAnswer, Host, Unreachable, get
from mogstored.top.sources.sidechannel import SILENCE_S, UsageFiles, Watch, to_devices
from mogstored.top.sources.status import parse_status

# 500 devices are half a megabyte.
_MAX_STATUS = 8 * 1024 * 1024
# Between attempts to reach the admin listener of a node that shows itself on the sidechannel.
_ADMIN_INTERVAL_S = 30.0


class NodeClient:
    """**Threads:** that of the event loop."""

    def __init__(self, address: NodeAddress, options: Options) -> None:
        self.name = address.text
        self._address = address
        self._options = options
        self._host = Host(address.host)
        self._usage_files = UsageFiles(self._host, options.http_port, options.timeout_s)
        self._watch: Watch | None = None
        self._admin_due_at = 0.0
        self._last: tuple[float, Node] | None = None

    async def ask(self) -> Node:
        """Return the state of the node, with rates since the last time; faults are states."""
        try:
            node = await self._ask()
        except Unreachable as error:
            node = Node(node=self.name, state="no answer", detail=str(error))
        except BadAnswer as error:
            node = Node(node=self.name, state="bad answer", detail=str(error))
        now = time.monotonic()
        then, before = self._last or (now, None)
        self._last = now, node
        return with_rates(node, before, now - then)

    async def close(self) -> None:
        """End what is open between two questions."""
        if self._watch is not None:
            await self._watch.close()
            self._watch = None

    async def _ask(self) -> Node:
        options = self._options
        if self._watch is not None and time.monotonic() < self._admin_due_at:
            return await self._ask_sidechannel(options.timeout_s)
        try:
            node = await self._ask_admin()
        except Unreachable as no_admin:
            self._admin_due_at = time.monotonic() + _ADMIN_INTERVAL_S
            # One that is silent on one port is not waited for on the other for long.
            patience_s = options.timeout_s + (0 if no_admin.is_silence else SILENCE_S)
            try:
                return await self._ask_sidechannel(patience_s)
            except Unreachable as error:
                raise _both(no_admin, error) from None
        await self.close()
        return node

    async def _ask_admin(self) -> Node:
        response = await get(
            self._host,
            self._address.port,
            "/status.json",
            limit=_MAX_STATUS,
            timeout_s=self._options.timeout_s,
        )
        if response.status == 404:
            raise Unreachable("no admin listener", self._address.port)
        if response.status != 200:
            raise BadAnswer(f"port {self._address.port}: HTTP status {response.status}")
        return parse_status(response.body, self.name)

    async def _ask_sidechannel(self, patience_s: float) -> Node:
        options = self._options
        if self._watch is None:
            self._watch = Watch(self._host, options.mgmt_port, options.timeout_s)
        try:
            block = await self._watch.latest(patience_s)
        except (Unreachable, BadAnswer):
            if self._watch.is_over:
                await self.close()
            raise
        usages = await self._usage_files.of(block)
        faults = {usage.fault for usage in usages.values()}
        has_no_http = bool(usages) and all(usage.state == "no answer" for usage in usages.values())
        return Node(
            node=self.name,
            state="no HTTP" if has_no_http else "ok",
            detail=min(faults) if has_no_http else "no admin listener",
            via="sidechannel",
            devices=to_devices(self.name, block, usages),
        )


def _both(admin: Unreachable, sidechannel: Unreachable) -> Unreachable:
    if admin.why != sidechannel.why:
        return Unreachable(f"{admin}; {sidechannel}")
    if admin.port is None:
        return admin
    return Unreachable(f"ports {admin.port} and {sidechannel.port}: {admin.why}")
