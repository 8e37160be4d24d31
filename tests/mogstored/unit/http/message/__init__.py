"""Tests of `mogstored/http/message`."""
