"""What init systems and operators see of the process: detaching, pidfile, title, sd_notify."""
