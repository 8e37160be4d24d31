"""Rows of devices: many of them, one of them that hangs, the usage round, and a checksum."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict

from bench import devices
from bench.budgets.setting import Setting, plain
from bench.figures import by_round, cpu_us
from bench.goals import GOALS
from bench.isolation import table
from bench.isolation.parts import HUNDRED, Measuring
from bench.isolation.place import Maker
from bench.life import digest
from bench.outcome import Outcome, beside, judged, spread


def many(setting: Setting) -> Iterator[Outcome]:
    count = setting.scale.devices
    samples = devices.cost(setting.workshop, setting.method, (1, count))
    one, all_of_them = samples.values()
    ratios = by_round(all_of_them, one, cpu_us)
    what = f"GET 1 KiB, {count} devices, to 1"
    yield judged(what, GOALS["devices"], ratios, plain(samples))


def usage_round(setting: Setting) -> Iterator[Outcome]:
    """The p99 is judged, of ten times as many rounds as usual; the longest is one request."""
    count = setting.scale.devices
    found = devices.beside_usage_rounds(setting.workshop, setting.method, count)
    ratios = [pair.p99_ratio for pair in found.pairs if pair.p99_ratio is not None]
    what = f"p99 while the usage of {count} devices is read each second"
    samples = {"pairs": [asdict(pair) for pair in found.pairs], "rounds_s": found.rounds_s}
    yield judged(what, GOALS["usage"], ratios, samples, "of that without")
    longest = [spread([run.max_ms or 0.0 for run in runs]) for runs in found.runs]
    yield beside("the longest, ms", f"{longest[1]}; without {longest[0]}")
    yield beside("a usage round lasts, ms", spread([each * 1e3 for each in found.rounds_s]))


def hung(setting: Setting) -> Iterable[Outcome]:
    shop, method = setting.workshop, setting.method
    maker = Maker(setting.place, shop.python, shop.nginx_binary, shop.nginx_build, None)
    wrk = method.load.wrk
    measuring = Measuring(maker, wrk, method.rounds, method.seconds, method.progress)
    return table.outcomes(measuring.run(HUNDRED, setting.place))


def checksum(setting: Setting) -> Iterable[Outcome]:
    return digest.measure(setting.place, setting.scale.digest_mib, setting.method.rounds)
