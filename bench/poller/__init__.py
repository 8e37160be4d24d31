"""Scenario: what mogpoll costs on top of the kernel, beside other ways of waiting."""
