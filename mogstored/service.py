"""What all connections to one docroot share."""

from __future__ import annotations

from dataclasses import dataclass

from mogstored.limits import Clients, Lingerers
from mogstored.storage.device import Devices
from mogstored.storage.docroot import Docroot


@dataclass(slots=True)
class Service:
    """One docroot with its devices, and the process's means to serve it.

    **Threads:** read by all. `draining` changes once, from false to true, when the node
    stops: from then on connections end as soon as nothing of a request is there.
    """

    docroot: Docroot
    devices: Devices
    clients: Clients
    lingerers: Lingerers
    draining: bool = False
