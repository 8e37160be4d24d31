"""All interleavings of a pool's own code: its table, its workers' loop, its waker, and epoll.

Each call of `notify` is followed by a step, of one thread at a time, and by none once the task is
closed; threads that nothing disturbs come to rest, and leave nothing in the tables. The methods
are compiled as the backends' are (`methods`), the threads that use them are `clients`, and `world`
puts both over the model of epoll. A local that is another name of a table is replaced by it. Steps
of tasks do not block, no timer runs, and the number of threads stays as it is.
"""
