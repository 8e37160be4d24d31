"""All interleavings of mogpoll's own code over models of epoll and of kqueue, for a few threads.

    python -m tests.mogpoll.explorer [--quick | --steps]

The methods of a backend are not copied: their source is compiled into steps (`program`), one for
each access to what threads share, and every order of the steps of all threads is played
(`machine`, `search`). Only the kernel is a model (`kernels`), and the threads that use the poller
(`clients`), which also hold the claim: each event has one owner, and none is lost. A fault of
`tests.mogpoll.faults` is put into the source before, and must break the claim (`kills`).

`pool` does the same with a pool: its table, its workers' loop, its waker, and epoll's backend.
"""
