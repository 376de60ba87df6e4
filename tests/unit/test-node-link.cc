// SPDX-License-Identifier: GPL-2.0-or-later
// Two daemons talk when they are who they say, and only then; what breaks is noticed and comes back.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/unit/link-fixture.h"
#include "tests/unit/pki-fixture.h"

using namespace migrationd;
using namespace migrationd::tests;

namespace {
const DomainUuid domain = *DomainUuid::parse("0b7e4c1a-90ab-4cde-8f01-23456789abcd");

struct Two {
  boost::asio::io_context loop;
  Node a{loop, "alpha"}, b{loop, "beta"};

  void start() {
    a.start();
    b.start();
    introduce(a, b);
  }
  bool until(const std::function<bool()>& happened) { return run_until(loop, happened); }
  bool both_up() {
    return until([&] { return a.link->linked("beta") && b.link->linked("alpha"); });
  }
};
}  // namespace

TEST_CASE("node-link: two nodes talk, in order, and know each other's installation") {
  Two two;
  two.start();
  REQUIRE(two.both_up());
  for (std::uint64_t i = 0; i < 500; ++i) {
    two.a.link->send("beta", wire::Note{domain, "vm1", {i}});
    two.b.link->send("alpha", wire::Note{domain, "vm2", {i}});
  }
  REQUIRE(two.until([&] { return two.a.seen.size() == 500 && two.b.seen.size() == 500; }));
  for (std::uint64_t i = 0; i < 500; ++i) {
    CHECK(std::get<wire::Note>(two.b.seen[i].message).epoch == Epoch{i});
    CHECK(std::get<wire::Note>(two.a.seen[i].message).epoch == Epoch{i});
  }
  CHECK(two.b.seen[0].from == "alpha");
  CHECK(two.b.seen[0].installation == two.a.settings.hello.installation);
  CHECK(two.b.events[0] == "up alpha");
  CHECK(std::count(two.b.events.begin(), two.b.events.end(), "up alpha") == 1);
  CHECK(two.a.link->trouble("beta").empty());
}

TEST_CASE("node-link: three nodes each have their own links") {
  Two two;
  Node c(two.loop, "gamma");
  two.a.start(), two.b.start(), c.start();
  const std::map<NodeName, std::vector<std::string>> all = {
      {"alpha", {two.a.address}}, {"beta", {two.b.address}}, {"gamma", {c.address}}};
  for (Node* node : {&two.a, &two.b, &c}) node->link->set_nodes(all);
  REQUIRE(two.until([&] { return two.a.link->linked("beta") && c.link->linked("alpha") && c.link->linked("beta"); }));
  CHECK_FALSE(two.a.link->linked("alpha"));
  c.link->send("alpha", wire::Farewell{});
  REQUIRE(two.until([&] { return !two.a.seen.empty(); }));
  CHECK(two.a.seen[0].from == "gamma");
  CHECK(two.b.seen.empty());
}

TEST_CASE("node-link: a message of megabytes passes, one over the limit costs no link") {
  Two two;
  two.start();
  REQUIRE(two.both_up());
  const std::string xml(3 * 1024 * 1024, 'x');
  two.a.link->send("beta", wire::Invite{domain, "vm1", std::string(5 * 1024 * 1024, 'y'), "x0"});
  two.a.link->send("beta", wire::Invite{domain, "vm1", xml, "x0"});
  REQUIRE(two.until([&] { return !two.b.seen.empty(); }));
  CHECK(std::get<wire::Invite>(two.b.seen[0].message).definition == xml);
  CHECK(two.a.log.has("larger than 4 MiB"));
  CHECK(two.a.link->linked("beta"));
}

TEST_CASE("node-link: with another key there is no link, and both logs say why") {
  Two two;
  two.b.settings.authentication = io::authentication_by_key({some_key(2)});
  two.start();
  REQUIRE(two.until([&] { return two.b.log.has("alpha has another key") && two.a.log.has("beta has another key"); }));
  REQUIRE(two.until([&] { return two.a.log.has("no link to beta") && two.a.log.has("refused our handshake"); }));
  CHECK(two.a.events.empty());
  CHECK(two.b.events.empty());
  CHECK_FALSE(two.a.link->trouble("beta").empty());
}

TEST_CASE("node-link: the name that was meant must be the one that answers") {
  Two two;
  two.a.start(), two.b.start();
  two.a.link->set_nodes({{"gamma", {two.b.address}}});
  two.b.link->set_nodes({{"alpha", {two.a.address}}});
  REQUIRE(two.until([&] { return two.b.log.has("node alpha means to speak to gamma, but this is beta"); }));
  REQUIRE(two.until([&] { return two.a.log.has("node beta") || two.a.log.has("it says that it is beta"); }));
  CHECK(two.a.log.has("it says that it is beta, which is none of this cluster's configured nodes"));
  CHECK(two.a.events.empty());
}

TEST_CASE("node-link: a connection to oneself is refused") {
  boost::asio::io_context loop;
  Node a(loop, "alpha");
  a.start();
  a.link->set_nodes({{"alpha", {a.address}}, {"beta", {a.address}}});
  REQUIRE(run_until(loop, [&] { return a.log.has("it says that it is alpha, which is this node itself"); }));
  CHECK(a.events.empty());
}

TEST_CASE("node-link: a copied installation is refused") {
  Two two;
  two.b.settings.hello.installation = two.a.settings.hello.installation;
  two.start();
  REQUIRE(two.until([&] { return two.a.log.has("node beta has the same installation UUID as alpha"); }));
  CHECK(two.a.events.empty());
}

TEST_CASE("node-link: a later protocol version is spoken down to ours") {
  Two two;
  two.b.settings.hello.protocol = 7;
  two.start();
  REQUIRE(two.both_up());
}

TEST_CASE("node-link: keys are replaced without losing the link") {
  Two two;
  const auto old_key = some_key(1), new_key = some_key(2);
  // alpha was rotated first; beta doesn't have the new key yet.
  two.a.settings.authentication = io::authentication_by_key({new_key, old_key});
  two.b.settings.authentication = io::authentication_by_key({old_key});
  two.start();
  REQUIRE(two.both_up());
  two.b.link->set_authentication(io::authentication_by_key({new_key, old_key}));
  CHECK(two.a.link->linked("beta"));
  // The old key is dropped: connections it made are made again with the new one.
  two.a.events.clear();
  two.a.link->set_authentication(io::authentication_by_key({new_key}));
  two.b.link->set_authentication(io::authentication_by_key({new_key}));
  REQUIRE(two.until([&] { return std::count(two.a.events.begin(), two.a.events.end(), "down beta") == 1; }));
  REQUIRE(two.both_up());
  // Who only has the old key stays out.
  two.a.events.clear();
  two.b.link->set_authentication(io::authentication_by_key({old_key}));
  REQUIRE(two.until([&] { return two.a.log.has("beta has another key") && !two.a.link->linked("beta"); }));
}

TEST_CASE("node-link: a node that ends is down, one that comes back is up") {
  Two two;
  two.start();
  REQUIRE(two.both_up());
  two.b.stop();
  REQUIRE(two.until([&] { return two.a.last() == "down beta"; }));
  CHECK_FALSE(two.a.link->linked("beta"));
  two.a.link->send("beta", wire::Farewell{});  // lost, and nothing else
  two.b.restart();
  two.b.link->set_nodes({{"alpha", {two.a.address}}});
  REQUIRE(two.until([&] { return two.a.last() == "up beta"; }));
  REQUIRE(two.both_up());
  two.a.link->send("beta", wire::Farewell{});
  REQUIRE(two.until([&] { return !two.b.seen.empty(); }));
}

TEST_CASE("node-link: only one direction is no link") {
  Two two;
  two.a.start(), two.b.start();
  two.a.link->set_nodes({{"beta", {two.b.address}}});
  two.b.link->set_nodes({{"alpha", {}}});
  REQUIRE(two.until([&] { return two.b.log.has("no address of it is known") && two.a.link->trouble("beta").empty(); }));
  CHECK_FALSE(two.a.link->linked("beta"));
  two.b.link->set_nodes({{"alpha", {two.a.address}}});
  REQUIRE(two.both_up());
}

TEST_CASE("node-link: the second address is used when the first leads nowhere") {
  Two two;
  two.a.start(), two.b.start();
  boost::asio::io_context unused;
  Node closed(unused, "closed");
  closed.start();
  const std::string dead = closed.address;
  closed.stop();
  two.a.link->set_nodes({{"beta", {"not an address", dead, two.b.address}}});
  two.b.link->set_nodes({{"alpha", {two.a.address}}});
  REQUIRE(two.both_up());
}

TEST_CASE("node-link: nodes come and go while it runs") {
  Two two;
  two.start();
  REQUIRE(two.both_up());
  two.a.link->set_nodes({});
  CHECK_FALSE(two.a.link->linked("beta"));
  REQUIRE(two.until([&] { return two.a.last() == "down beta" && two.b.last() == "down alpha"; }));
  REQUIRE(two.until([&] { return two.a.log.has("it says that it is beta, which is none"); }));
  two.a.link->set_nodes({{"beta", {two.b.address}}});
  REQUIRE(two.both_up());
}

TEST_CASE("node-link: a listener may change the nodes and send; it's never called within a call of its own") {
  Two two;
  two.a.start(), two.b.start();
  two.b.on_event = [&] { two.b.link->send("alpha", wire::Farewell{}); };
  two.a.on_event = [&] {
    two.a.link->set_nodes({});
    two.a.link->send("beta", wire::Farewell{});
  };
  introduce(two.a, two.b);
  REQUIRE(two.until([&] { return two.a.events.size() >= 2; }));
  CHECK(std::count(two.a.events.begin(), two.a.events.end(), "up beta") == 1);
  CHECK(std::count(two.a.events.begin(), two.a.events.end(), "down beta") == 1);
}

TEST_CASE("node-link: finish sends the last word before it closes") {
  Two two;
  two.start();
  REQUIRE(two.both_up());
  bool finished = false;
  two.a.link->send("beta", wire::Invite{domain, "vm1", std::string(2'000'000, 'x'), "x0"});
  two.a.link->send("beta", wire::Farewell{});
  two.a.link->finish(Milliseconds(30'000), [&] { finished = true; });
  REQUIRE(two.until([&] { return finished; }));
  REQUIRE(two.until([&] { return two.b.seen.size() == 2; }));
  CHECK(std::holds_alternative<wire::Farewell>(two.b.seen[1].message));
  REQUIRE(two.until([&] { return two.b.last() == "down alpha"; }));
  CHECK_FALSE(two.a.log.has("can't accept"));  // it does not want to
}

TEST_CASE("node-link: what is left of a link to a node proven absent is closed, unheard, and dialed again") {
  Two two;
  two.start();
  REQUIRE(two.both_up());
  two.b.link->send("alpha", wire::Note{domain, "vm1", {1}});
  REQUIRE(two.until([&] { return two.a.seen.size() == 1; }));
  for (std::uint64_t i = 2; i < 500; ++i) two.b.link->send("alpha", wire::Note{domain, "vm1", {i}});
  two.a.link->drop("beta");
  REQUIRE(two.until([&] { return !two.a.link->linked("beta"); }));
  REQUIRE(two.both_up());
  CHECK(two.a.seen.size() == 1);
  two.a.link->drop("gamma");  // no such node
}

TEST_CASE("node-link: after stop the loop has nothing left to do and nobody is called") {
  Two two;
  two.start();
  REQUIRE(two.both_up());
  const auto events = two.a.events.size();
  two.a.link->stop();
  two.b.link->stop();
  two.loop.restart();
  two.loop.run();
  CHECK(two.a.events.size() == events);
  CHECK_FALSE(two.a.link->linked("beta"));
}

TEST_CASE("node-link: destroyed in the middle of everything") {
  boost::asio::io_context loop;
  for (int steps = 0; steps < 60; ++steps) {
    Node a(loop, "alpha"), b(loop, "beta");
    a.start(), b.start();
    introduce(a, b);
    loop.restart();
    for (int i = 0; i < steps; ++i) loop.run_one_for(std::chrono::milliseconds(1));
    a.stop(), b.stop();
    loop.restart();
    loop.run();
  }
}

TEST_CASE("node-link: where it can't listen it says so") {
  boost::asio::io_context loop;
  Node a(loop, "alpha");
  a.start();
  const auto refusal = [&](std::vector<std::string> listen) {
    Node b(loop, "beta");
    b.settings.listen = std::move(listen);
    io::NodeLink link(loop, b.settings, b.log);
    const auto started = link.start();
    return started.ok() ? "" : started.error();
  };
  CHECK(refusal({a.address}).find("another program, or another migrationd, has this port") != std::string::npos);
  CHECK(refusal({"192.0.2.1"}).find("is it an address of this node?") != std::string::npos);
  CHECK(refusal({"no such thing"}).find("is no address") != std::string::npos);
  CHECK(refusal({"127.0.0.1", "127.0.0.2"}).empty());
}

TEST_CASE("node-link: a name in listen that stands for loopback alone is said aloud") {
  boost::asio::io_context loop;
  Node a(loop, "alpha");
  a.start();
  CHECK_FALSE(a.log.has("no other node reaches"));  // asked for by number
  CHECK(a.log.over == std::vector{AlarmKind::not_reachable});  // that of a daemon before
  a.log.over.clear();
  a.settings.listen = {"localhost"};
  a.start();
  CHECK(a.log.has("the name localhost stands for"));
  CHECK(a.log.has("/etc/hosts"));
  CHECK(a.log.over.empty());
}

namespace {
io::LinkAuthenticationPtr certificates(const io::CertificateFiles& files, const std::string& self) {
  auto read = io::read_certificates(files, self);
  REQUIRE_MESSAGE(read.ok(), (read.ok() ? "" : read.error()));
  return io::authentication_by_certificate(std::move(read.value()));
}
}  // namespace

TEST_CASE("node-link: two nodes with certificates are linked, and renewed ones leave the link alone") {
  Scratch scratch;
  const Authority ca(scratch, "ca");
  boost::asio::io_context loop;
  Node a(loop, "alpha"), b(loop, "beta");
  a.settings.authentication = certificates(ca.sign("alpha", "DNS:alpha"), "alpha");
  b.settings.authentication = certificates(ca.sign("beta", "DNS:beta"), "beta");
  a.start(), b.start();
  introduce(a, b);
  REQUIRE(run_until(loop, [&] { return a.link->linked("beta") && b.link->linked("alpha"); }));
  a.link->set_authentication(certificates(ca.sign("alpha", "DNS:alpha"), "alpha"));
  a.link->send("beta", wire::Farewell{});
  REQUIRE(run_until(loop, [&] { return !b.seen.empty(); }));
  CHECK(b.seen[0].from == "alpha");
  CHECK(std::count(b.events.begin(), b.events.end(), "down alpha") == 0);
}

TEST_CASE("node-link: a node with certificates and one with the key refuse each other, and both say so") {
  Scratch scratch;
  const Authority ca(scratch, "ca");
  boost::asio::io_context loop;
  Node a(loop, "alpha"), b(loop, "beta");
  a.settings.authentication = certificates(ca.sign("alpha", "DNS:alpha"), "alpha");
  a.start(), b.start();
  introduce(a, b);
  CHECK(run_until(loop, [&] { return a.log.has("has the shared key where this node has certificates"); }));
  CHECK(run_until(loop, [&] { return a.link->trouble("beta").find("authentication = key") != std::string::npos; }));
  CHECK(run_until(loop, [&] { return b.link->trouble("alpha").find("authentication = certificate") != std::string::npos; }));
  CHECK_FALSE(a.link->linked("beta"));
}

TEST_CASE("node-link: a certificate of another name is refused, and the dialer hears that it was") {
  Scratch scratch;
  const Authority ca(scratch, "ca");
  boost::asio::io_context loop;
  Node a(loop, "alpha"), b(loop, "beta");
  a.settings.authentication = certificates(ca.sign("alpha", "DNS:alpha"), "alpha");
  b.settings.authentication = certificates(ca.sign("gamma", "DNS:gamma"), "gamma");
  a.start(), b.start();
  introduce(a, b);
  CHECK(run_until(loop, [&] { return a.log.has("none of this cluster's configured nodes"); }));
  CHECK(run_until(loop, [&] { return b.link->trouble("alpha").find("does not accept our certificate") != std::string::npos ||
                                     b.link->trouble("alpha").find("means to speak") != std::string::npos; }));
  CHECK_FALSE(b.link->linked("alpha"));
}
