// SPDX-License-Identifier: GPL-2.0-or-later
// Heartbeat's take-overs: they count until the node is seen back, and an offer is judged by what Heartbeat shows then, not by
// what it showed at the take-over.
#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <limits>
#include <optional>

#include <boost/asio/io_context.hpp>

#include "migrationd/io/heartbeat.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::io;

namespace {

struct Logged : engine::Log {
  std::string said;
  void write(Level, const std::string&, const std::string& text) override { said += text + "\n"; }
};

/// hb1 beside hb2, with Heartbeat's files and cl_status as the test says.
struct Node {
  tests::Scratch scratch;
  boost::asio::io_context loop;
  Logged log;
  Instant now{Milliseconds{1'000'000}};
  engine::OfferQuestion question;
  std::optional<HeartbeatCluster> cluster;

  explicit Node(const std::string& more_of_ha_cf = "stonith_host * external/ssh hb1 hb2\n") {
    tests::write_file(scratch / "ha.cf", "ucast eth0 10.0.0.2\nnode hb1 hb2\n" + more_of_ha_cf);
    tests::write_file(scratch / "pid", std::to_string(::getpid()) + "\n");
    tests::write_file(scratch / "cl_status", "#!/bin/sh\n[ \"$*\" = 'nodestatus hb2' ] && cat " + (scratch / "status") +
                      "\ngrep -q active " + (scratch / "status") + "\n");
    ::chmod((scratch / "cl_status").c_str(), 0755);
    tests::write_file(scratch / "stonith", "#!/bin/sh\necho \"$*\" >> " + (scratch / "resets") + "\n[ \"$2\" = works ]\n");
    ::chmod((scratch / "stonith").c_str(), 0755);
    shows("active");
    cluster.emplace(loop, HeartbeatSettings{"hb1", scratch.path(), scratch / "pid", scratch / "cl_status", "/proc",
                                           scratch / "stonith", [this] { return now = now + Milliseconds{1}; }}, log);
    bool known = false;
    cluster->start([&](const auto&) { known = true; });
    while (!known) loop.run_one();
  }
  /// No link any more.
  void silent() { question.silent = {{"hb2", now}}; }
  void shows(const std::string& status) { tests::write_file(scratch / "status", status + "\n"); }
  handoff::Judgement judged() {
    std::optional<handoff::Judgement> judgement;
    cluster->judge_offer(question, [&](engine::OfferJudgement said) { judgement = said.judgement; });
    CHECK_FALSE(judgement);  // never from inside the call
    while (!judgement) loop.run_one();
    return *judgement;
  }
  bool fenced_since(Instant since) {
    std::optional<bool> fenced;
    cluster->fenced_since("hb2", since, [&](bool said) { fenced = said; });
    while (!fenced) loop.run_one();
    return *fenced;
  }
  Outcome fenced() {
    std::optional<Outcome> outcome;
    cluster->request_fencing("hb2", "a test", [&](Outcome said) { outcome = std::move(said); });
    CHECK_FALSE(outcome);
    while (!outcome) loop.run_one();
    return *outcome;
  }
  std::string resets() const { return tests::file_content(scratch / "resets"); }
};

}  // namespace

TEST_CASE("heartbeat: an offer is taken back when its peer was fenced, and not for a fencing of before") {
  Node node;
  CHECK(node.judged() == handoff::Judgement::stands);
  node.cluster->taken_over_from("hb2");
  node.shows("dead");
  CHECK(node.judged() == handoff::Judgement::take_back);
  CHECK_FALSE(node.fenced_since({}));  // Heartbeat fences nobody who it thinks gave up his resources
  // It is back; nobody has looked since the take-over but this question.
  node.shows("active");
  CHECK(node.judged() == handoff::Judgement::stands);
  // It goes away once more, unfenced.
  node.shows("dead");
  node.silent();
  CHECK(node.judged() == handoff::Judgement::stands);
}

TEST_CASE("heartbeat: a take-over proves nothing without STONITH, nor of a node that isn't configured") {
  Node unfenced("");
  unfenced.shows("dead");
  unfenced.cluster->taken_over_from("hb2");
  CHECK(unfenced.judged() == handoff::Judgement::stands);
  CHECK_FALSE(unfenced.fenced_since({}));
  CHECK(unfenced.log.said.find("no STONITH") != std::string::npos);
  Node node;
  node.shows("dead");
  node.cluster->taken_over_from("hb3");
  CHECK(node.judged() == handoff::Judgement::stands);
}

TEST_CASE("heartbeat: what was asked before a take-over does not undo it") {
  DownMemory memory;
  memory.went_down("hb2", {Milliseconds{100}});
  memory.seen_as_member("hb2", {Milliseconds{90}});
  CHECK(memory.is_down("hb2"));
  memory.seen_as_member("hb2", {Milliseconds{101}});
  CHECK_FALSE(memory.is_down("hb2"));
}

TEST_CASE("heartbeat: a node is fenced with ha.cf's own devices, one after the other, and only what succeeded is proof") {
  Node node("stonith_host hb2 works not ours\nstonith_host HB1 broken a b\nstonith works /etc/ha.d/power\n");
  CHECK_FALSE(node.fenced_since({}));
  node.shows("dead");
  CHECK(node.fenced().ok());
  CHECK(node.resets() == "-t broken -p a b -T reset hb2\n-t works -F /etc/ha.d/power -T reset hb2\n");
  CHECK(node.fenced_since({}));
  CHECK_FALSE(node.fenced_since({Milliseconds{std::numeric_limits<std::int64_t>::max() / 4}}));  // its last word came after it
}

TEST_CASE("heartbeat: what can't fence says so, and proves nothing") {
  Node broken("stonith_host * broken a\n");
  broken.shows("dead");
  const Outcome outcome = broken.fenced();
  REQUIRE_FALSE(outcome.ok());
  CHECK(outcome.error().find("stonith -t broken -T reset hb2") != std::string::npos);
  CHECK_FALSE(broken.fenced_since({}));
  Node others("stonith_host hb2 works a\n");
  others.shows("dead");
  CHECK(others.fenced().error().find("no STONITH device for this node") != std::string::npos);
  Node none("");
  none.shows("dead");
  CHECK(none.fenced().error().find("no STONITH") != std::string::npos);
}

TEST_CASE("heartbeat: a peer that dies before it fetched what is offered is fenced after a while, and the offer taken back") {
  Node node("stonith_host * works a\n");
  const auto later = [&](std::int64_t seconds) { node.now = node.now + Milliseconds{seconds * 1000}; };
  node.shows("dead");
  CHECK(node.judged() == handoff::Judgement::stands);  // it is linked: Heartbeat is not even asked
  later(60);
  node.silent();
  CHECK(node.judged() == handoff::Judgement::stands);
  SUBCASE("it is still missed") {
    later(9);
    CHECK(node.judged() == handoff::Judgement::stands);
    CHECK(node.resets() == "");
    later(1);
    CHECK(node.judged() == handoff::Judgement::stands);  // not before the fencing has succeeded
    while (!node.fenced_since({})) node.loop.run_one();
    CHECK(node.resets() == "-t works -p a -T reset hb2\n");
    later(1);
    CHECK(node.judged() == handoff::Judgement::take_back);
    CHECK(node.resets() == "-t works -p a -T reset hb2\n");  // once
  }
  SUBCASE("it was back meanwhile") {
    SUBCASE("by its link") { node.question.silent.clear(); }
    SUBCASE("for Heartbeat") { node.shows("active"); }
    later(9);
    CHECK(node.judged() == handoff::Judgement::stands);
    node.silent();
    node.shows("dead");
    later(9);
    CHECK(node.judged() == handoff::Judgement::stands);
    CHECK(node.resets() == "");
  }
}

TEST_CASE("heartbeat: that a peer was missed during an earlier offer does not hasten its fencing in the next") {
  Node node("stonith_host * works a\n");
  node.shows("dead");
  node.silent();
  CHECK(node.judged() == handoff::Judgement::stands);
  // That offer was taken back, and nobody asked since.
  SUBCASE("seconds ago, and its link was back meanwhile") {
    node.now = node.now + Milliseconds{11'000};
    node.silent();
  }
  SUBCASE("a week ago, without a link") { node.now = node.now + Milliseconds{7 * 24 * 3600 * 1000}; }
  CHECK(node.judged() == handoff::Judgement::stands);
  CHECK(node.judged() == handoff::Judgement::stands);
  CHECK(node.resets() == "");
}

TEST_CASE("heartbeat: a peer whose daemon alone ended, while Heartbeat is alive there, may come back to fetch it") {
  Node node("stonith_host * works a\n");
  node.question.left = {"hb2"};
  CHECK(node.judged() == handoff::Judgement::stands);
}

TEST_CASE("heartbeat: a peer that went down and is back does not fetch what was offered to it before") {
  Node node;
  node.question.rebooted = {"hb2"};
  CHECK(node.judged() == handoff::Judgement::take_back);
}

TEST_CASE("heartbeat: a peer whose daemon said farewell is not fenced; nobody waits for it") {
  Node node("stonith_host * works a\n");
  node.shows("dead");
  node.question.left = {"hb2"};
  CHECK(node.judged() == handoff::Judgement::take_back);
  node.now = node.now + Milliseconds{60'000};
  CHECK(node.judged() == handoff::Judgement::take_back);
  CHECK(node.resets() == "");
}

TEST_CASE("heartbeat: who is alive for Heartbeat is not fenced, however long it takes to say so; nor is anybody in doubt") {
  Node node("stonith_host * works a\n");
  SUBCASE("alive") { CHECK(node.fenced().error() == "Heartbeat counts it as alive"); }
  SUBCASE("alive, said late") {
    tests::write_file(node.scratch / "cl_status", "#!/bin/sh\nsleep 0.3\necho up\n");
    CHECK(node.cluster->member("hb2"));  // not known yet
    CHECK(node.fenced().error() == "Heartbeat counts it as alive");
  }
  SUBCASE("Heartbeat does not say") {
    tests::write_file(node.scratch / "cl_status", "#!/bin/sh\nexit 1\n");
    CHECK(node.fenced().error() == "Heartbeat does not say whether it is dead");
    CHECK(node.cluster->member("hb2"));
  }
  SUBCASE("alive again, and there is no STONITH: the membership is asked anew all the same") {
    Node none("");
    none.shows("dead");
    CHECK(none.fenced().error() == "ha.cf configures no STONITH");
    CHECK_FALSE(none.cluster->member("hb2"));
    none.shows("active");
    CHECK(none.fenced().error() == "Heartbeat counts it as alive");
    CHECK(none.cluster->member("hb2"));
  }
  SUBCASE("Heartbeat does not run here") {
    node.shows("dead");
    tests::write_file(node.scratch / "pid", "");
    CHECK(node.fenced().error() == "Heartbeat does not run here");
  }
  CHECK(node.resets() == "");
}

TEST_CASE("heartbeat: a missing, empty or foreign ha.cf is said once, with what to do, and not taken for an empty cluster") {
  const tests::Scratch scratch;
  std::string why;
  SUBCASE("missing") { why = "it can't be read: No such file or directory"; }
  SUBCASE("empty") {
    tests::write_file(scratch / "ha.cf", "");
    why = "it has no 'node' line";
  }
  SUBCASE("of another node") {
    tests::write_file(scratch / "ha.cf", "node hb2 hb3\n");
    why = "do not name this node 'hb1'";
  }
  boost::asio::io_context loop;
  Logged log;
  HeartbeatSettings settings;
  settings.self = "hb1";
  settings.directory = scratch.path();
  HeartbeatCluster cluster(loop, settings, log);
  bool known = false;
  cluster.start([&](const auto&) { known = true; });
  loop.poll();
  CHECK_FALSE(known);
  CHECK(cluster.others().empty());
  CHECK(log.said.starts_with(scratch / "ha.cf: "));
  CHECK(log.said.find(why) != std::string::npos);
  CHECK(log.said.find("the daemon is not ready") != std::string::npos);
  // Read once more, as every 30 s: it is the same.
  const std::string once = log.said;
  cluster.start([&](const auto&) { known = true; });
  loop.poll();
  CHECK(log.said == once);
  // And it is put right.
  tests::write_file(scratch / "ha.cf", "node hb1 hb2\n");
  cluster.start([&](const auto&) { known = true; });
  loop.poll();
  CHECK(known);
  CHECK(cluster.others() == std::set<NodeName>{"hb2"});
  CHECK(log.said == once);
  // It goes away while the daemon works: what was known stays.
  std::filesystem::remove(scratch / "ha.cf");
  cluster.start([&](const auto&) { known = true; });
  CHECK(log.said.find("the nodes known before stay") != std::string::npos);
  CHECK(cluster.others() == std::set<NodeName>{"hb2"});
}
