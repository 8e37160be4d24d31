"""What mogpoll asks of the operating system besides its event queue, one call a file."""
