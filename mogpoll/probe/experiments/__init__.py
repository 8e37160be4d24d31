"""The experiments, a module for each topic; see `mogpoll.probe.experiment.TOPICS`."""
