"""What REDIS_URL may say."""

import pytest

from streams.addresses import Address, Kind


def test_one_server_is_redis_pys_own_url() -> None:
    """What redis-py reads by itself is left to it."""
    for url in ("redis://localhost:6379/3", "rediss://:secret@redis.example.org", "unix:///run/redis,1.sock"):
        assert Address(Kind.ALONE, url) == Address.parse(url)


def test_a_cluster_is_named_by_some_of_its_nodes() -> None:
    """Hosts, ports, IPv6, a login for all of them, and options of redis-py's."""
    found = Address.parse("rediss+cluster://ada:se%40cret@one:7000,two,[::1]:7002/0?ssl_cert_reqs=none")

    assert found.kind is Kind.CLUSTER
    assert found.nodes == [("one", 7000), ("two", 6379), ("::1", 7002)]
    assert found.options == {"username": "ada", "password": "se@cret", "ssl": True, "ssl_cert_reqs": "none"}


def test_sentinels_say_who_is_the_primary_and_have_a_password_of_their_own() -> None:
    """The path is the primary's name, then the database; the login is for the primary."""
    found = Address.parse("redis+sentinel://:secret@one,two:5000/the-primary/2?sentinel_password=other")

    assert found.kind is Kind.SENTINEL
    assert found.nodes == [("one", 26379), ("two", 5000)]
    assert found.primary == "the-primary"
    assert found.options == {"password": "secret", "db": 2}
    assert found.sentinels == {"password": "other"}


def test_tls_is_for_sentinels_too() -> None:
    """With the same certificates."""
    found = Address.parse("rediss+sentinel://one/the-primary?ssl_ca_certs=/etc/ca.pem")

    assert found.sentinels == {"ssl": True, "ssl_ca_certs": "/etc/ca.pem"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://localhost", "must start with"),
        ("redis://one:6379,two:6379", "not how they belong together"),
        ("redis+cluster://", "no server"),
        ("redis+cluster://one:secret", "host:port"),
        ("redis+cluster://one/2", "database"),
        ("redis+sentinel://one:26379", "which primary"),
        ("unix+cluster:///run/redis.sock", "must start with"),
    ],
)
def test_another_url_is_refused_with_a_sentence(url: str, said: str) -> None:
    """It says what is wrong and how to write it."""
    with pytest.raises(ValueError, match=said):
        Address.parse(url)


def test_a_password_is_never_shown() -> None:
    """Neither by the address nor by what is said about it."""
    assert "secret" not in repr(Address.parse("redis+cluster://:secret@one,two").options.keys())
    with pytest.raises(ValueError, match="which primary") as refused:
        Address.parse("redis+sentinel://:secret@one")
    assert "secret" not in str(refused.value)
