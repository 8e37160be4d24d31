"""What the kernel at hand does: small experiments through real system calls.

    python -m mogpoll [--json [FILE]] [--only NAME] [--list]
    python -m mogpoll compare ONE.json OTHER.json
    python -m mogpoll table FILE.json ...

Manual pages leave out what matters here, and are wrong at times: who of many waiters is woken,
what a hang-up looks like, what ends a blocked accept. An experiment asks one such question and
answers with data. Some answers are relied on: by mogpoll's contract, or by whoever lets several
processes share a listener. If one of those is not as it should be, the exit status is 1, and
nothing should be built on mogpoll there until it is understood.

Questions about "the kernel" go to epoll or kqueue directly, those about "mogpoll" through a
poller. Over libkqueue "the kernel" is the library and the shim around it.
"""
