"""Virtual machines that run the suite: described in machines.yml, run by `python -m vm`."""
