def test_it(host):
    assert host.run("hostname").stdout.strip() == host.backend.host
    assert host.ansible("ping", check=False)["ping"] == "pong"
