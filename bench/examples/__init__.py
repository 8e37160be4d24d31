"""The examples of mogpoll beside the same programs with asyncio and with threads."""
