"""How a machine is started, asked and stopped: by qemu or by vagrant."""
