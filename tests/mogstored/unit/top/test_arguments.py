"""The command line of `mogstored top`."""

from __future__ import annotations

import pytest

from mogstored.top.arguments import NodeAddress, Options, parse, parse_node


@pytest.mark.parametrize(
    ("word", "host", "port", "shown"),
    [
        ("stor1", "stor1", 7502, "stor1"),
        ("stor1:7502", "stor1", 7502, "stor1"),
        ("stor1.example:80", "stor1.example", 80, "stor1.example:80"),
        ("10.0.0.1", "10.0.0.1", 7502, "10.0.0.1"),
        ("[::1]", "::1", 7502, "[::1]"),
        ("[::1]:7777", "::1", 7777, "[::1]:7777"),
        ("[fe80::1%eth0]:1", "fe80::1%eth0", 1, "[fe80::1%eth0]:1"),
        ("knoten-ä", "knoten-ä", 7502, "knoten-ä"),
    ],
)
def test_node_has_a_host_and_a_port(word: str, host: str, port: int, shown: str) -> None:
    found = parse_node(word)
    assert found == NodeAddress(host, port)
    assert found.text == shown


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("", "'' is not of the form HOST[:PORT]"),
        ("::1", "'::1' is not of the form HOST[:PORT]; an IPv6 address needs brackets"),
        ("fe80::1%eth0", "an IPv6 address needs brackets"),
        ("-x", "'-x' is not of the form HOST[:PORT]"),
        ("a b", "is not of the form HOST[:PORT]"),
        ("a/b", "is not of the form HOST[:PORT]"),
        ("[x]", "is not of the form HOST[:PORT]"),
        ("a:", "'a:': port is a whole number of at least 1 is missing"),
        ("a:0", "'a:0': port is not a whole number of at least 1"),
        ("a:65536", "'a:65536': port is more than 65535"),
        ("a:1\n", "port is not a whole number"),
    ],
)
def test_what_is_no_node_is_refused(word: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"form|port") as refused:
        parse_node(word)
    assert reason in str(refused.value)


def test_nodes_are_asked_once_each_in_the_order_given() -> None:
    found = parse("top", ["b", "a:7502", "b:7502", "a", "c"])
    assert found == Options(nodes=tuple(NodeAddress(host) for host in "bac"))


def test_options_are_taken() -> None:
    words = "--once --interval 0.5 --timeout 9 --http-port 1 --mgmt-port 2 --sort errors a"
    assert parse("top", [*words.split(), "--filter", "x\x1b[2J"]) == Options(
        nodes=(NodeAddress("a"),),
        once=True,
        interval_s=0.5,
        timeout_s=9.0,
        http_port=1,
        mgmt_port=2,
        sort="errors",
        filter="x\\x1b[2J",
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "HOST[:PORT]"),
        (["a", "--once", "--json"], "not allowed with"),
        (["a", "--interval", "0"], "'0' is no number of seconds from 0.1 to 3600"),
        (["a", "--interval", "nan"], "'nan' is no number of seconds"),
        (["a", "--timeout", "1e9"], "'1e9' is no number of seconds"),
        (["a", "--sort", "luck"], "invalid choice: 'luck'"),
        (["a", "--http-port", "http"], "not a whole number"),
        (["a", "--docroot", "/x"], "unrecognized arguments"),
        (["a:b\x1b[31m"], "\\x1b[31m"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse("mogstored top", words)
    output = capsys.readouterr()
    assert (end.value.code, output.out) == (2, "")
    assert output.err.startswith("mogstored top: ")
    assert said in output.err
    assert output.err.endswith("; try 'mogstored top --help'\n")
    assert output.err.count("\n") == 1
    assert output.err[:-1].isprintable()
