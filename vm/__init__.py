"""Virtual machines that run the suite: described in machines.yml, driven by `python -m vm`."""
