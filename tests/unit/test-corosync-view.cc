// SPDX-License-Identifier: GPL-2.0-or-later
// What Corosync's views lead to. A daemon that is ready while Corosync does not run looks as if all were well: it has to say that it
// isn't, and only when it changes. And who comes back is told: what proved it absent before proves nothing any more.
#include <doctest/doctest.h>

#include <set>
#include <string>
#include <utility>

#include <boost/asio/io_context.hpp>

#include "migrationd/io/pacemaker.h"

using namespace migrationd;
using namespace migrationd::io;

namespace {

struct Logged : engine::Log {
  std::string said;
  Level level = Level::debug;
  void write(Level how, const std::string&, const std::string& text) override {
    said += text + "\n";
    level = how;
  }
};

struct Listener : engine::ClusterListener {
  std::string came;
  void members_changed() override {}
  void joined(const NodeName& node) override { came += node + " "; }
  void configuration_changed() override {}
};

struct Node {
  boost::asio::io_context loop;
  Logged log;
  PacemakerCluster cluster{loop, PacemakerSettings{"n1"}, log};

  /// What is said of this view.
  std::string shown(bool connected, const std::string& trouble = "", std::set<std::uint32_t> members = {},
                    std::set<std::uint32_t> controllers = {}) {
    CorosyncView view;
    view.connected = connected;
    view.nodes = {{1, "n1", {"10.0.0.1"}}, {2, "n2", {"10.0.0.2"}}};
    view.trouble = trouble;
    view.members = std::move(members);
    view.controllers = std::move(controllers);
    cluster.viewed(view);
    return std::exchange(log.said, "");
  }
};

}  // namespace

TEST_CASE("corosync: that it does not answer is said once, and that it answers then") {
  Node node;
  CHECK(node.shown(false).starts_with("Corosync does not answer here: "));
  CHECK(node.log.level == engine::Log::Level::notice);
  CHECK(node.shown(false) == "");
  CHECK(node.shown(true) == "Corosync answers here\n");
  CHECK(node.shown(true, "", {1, 2}) == "");
  CHECK(node.shown(false).starts_with("Corosync does not answer here any more: "));
  CHECK(node.log.level == engine::Log::Level::warning);
  CHECK(node.shown(true) == "Corosync answers here\n");
}

TEST_CASE("corosync: one that answers from the beginning is not worth a word") {
  Node node;
  CHECK(node.shown(true) == "");
}

TEST_CASE("corosync: where its file can't be read either, that alone is said") {
  Node node;
  CHECK(node.shown(false, "corosync.conf can't be read").starts_with("Corosync does not run here, and corosync.conf can't be read"));
  CHECK(node.log.level == engine::Log::Level::alarm);
  CHECK(node.shown(false) == "");
}

TEST_CASE("corosync: who comes back is told, but not who is there when Corosync is first seen") {
  Node node;
  Listener listener;
  node.cluster.listen(&listener);
  node.shown(false);
  node.shown(true, "", {1, 2}, {1, 2});
  CHECK(listener.came == "");
  SUBCASE("as a member") {
    node.shown(true, "", {1}, {1});
    node.shown(true, "", {1, 2}, {1});
    CHECK(listener.came == "n2 ");
    node.shown(true, "", {1, 2}, {1, 2});
    CHECK(listener.came == "n2 n2 ");  // its controller may be of a later boot than the member
  }
  SUBCASE("so quickly that only its controller was missed") {
    node.shown(true, "", {1, 2}, {1});
    node.shown(true, "", {1, 2}, {1, 2});
    CHECK(listener.came == "n2 ");
  }
  SUBCASE("while Corosync did not run here: nobody saw what happened to it") {
    node.shown(false);
    node.shown(true, "", {1, 2}, {1, 2});
    CHECK(listener.came == "n2 ");
  }
}
