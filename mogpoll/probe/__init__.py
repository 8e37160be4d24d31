"""What this system's kernel does: small experiments by real system calls.

    python -m mogpoll [--json [FILE]] [--only NAME] [--list]
    python -m mogpoll compare FILE.json FILE.json ...
    python -m mogpoll table FILE.json ...

Manual pages omit, or get wrong, which waiter is woken, what a hang-up looks like, what ends a
blocked accept. An experiment answers one such question with data. mogpoll's contract, and
processes that share a listener, rely on some answers; if one of those differs, the exit status
is 1, and mogpoll must not be used there until the reason is understood.

"kernel" questions go to epoll or kqueue directly, "mogpoll" questions through a poller. Over
libkqueue, "kernel" is the library with the shim around it.
"""
