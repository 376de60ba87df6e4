// SPDX-License-Identifier: GPL-2.0-or-later
// The parameter snapshot: memory is saved in place of a shutdown, taken up again by the very next boot only, and never
// left where it could be taken up later on disks that have gone on.
#include <doctest/doctest.h>

#include "libvirt-fixture.h"
#include "migrationd/io/memory-image.h"
#include "migrationd/resource/parameters.h"
#include "tests/unit/engine-stage.h"

using namespace migrationd;
using handoff::Phase;
using tests::EngineStage;
using tests::Here;
using tests::Order;
using tests::Scratch;
using tests::uuid;
using tests::write_file;

namespace {

std::string file_of(const DomainUuid& of, int epoch) { return of.str() + "." + std::to_string(epoch) + ".memory"; }

std::set<std::string> files_in(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) names.insert(entry.path().filename());
  return names;
}

const std::map<std::string, std::string> parameters{{"config", "/vm1.xml"}, {"snapshot", "/srv/memory"}, {"handoff", "off"}};

handoff::State state_of(Phase phase, std::uint64_t epoch) {
  handoff::State state;
  state.phase = phase;
  state.epoch = {epoch};
  return state;
}

/// vm1 runs here, held in epoch 7, and is being stopped.
struct Stopped : EngineStage {
  std::optional<engine::OrderReply> reply;
  Stopped() {
    shows("vm1", Here::running);
    begin({{uuid, "vm1", "vm1", parameters, "<domain/>", state_of(Phase::held, 7)}});
    Order stop = order(Order::Kind::stop, "vm1");
    stop.parameters = parameters;
    engine->order(stop, [this](engine::OrderReply said) { reply = std::move(said); });
  }
};

}  // namespace

TEST_CASE("memory-image: only that of the epoch before counts; all others of the domain are removed, and nothing else") {
  Scratch scratch;
  const DomainUuid other = *DomainUuid::parse("99999999-2222-4333-8444-555555555555");
  const std::set<std::string> strangers{file_of(other, 6), uuid.str() + ".memory", uuid.str() + ".x.memory", uuid.str() + ".7.memory.old", "vm1.state"};
  for (const std::string& name : strangers) write_file(scratch / name, "x");
  for (int epoch : {1, 6, 7, 8}) write_file(scratch / file_of(uuid, epoch), "x");
  write_file(scratch / ("." + file_of(uuid, 7) + ".new"), "half");

  const auto found = io::find_image(uuid, {scratch.path(), {7}});
  REQUIRE(found.ok());
  CHECK(found.value().path == scratch / file_of(uuid, 7));
  CHECK(found.value().note.find(file_of(uuid, 6)) != std::string::npos);
  auto left = strangers;
  left.insert(file_of(uuid, 7));
  CHECK(files_in(scratch.path()) == left);

  const auto later = io::find_image(uuid, {scratch.path(), {8}});
  REQUIRE(later.ok());
  CHECK(later.value().path.empty());
  CHECK(files_in(scratch.path()) == strangers);
  CHECK_FALSE(io::find_image(uuid, {scratch / "not-mounted", {8}}).ok());
}

TEST_CASE("memory-image: a domain that was started by hand leaves no older memory behind") {
  Scratch scratch;
  write_file(scratch / file_of(uuid, 7), "x");
  REQUIRE(io::discard_images(uuid, scratch.path()).ok());
  CHECK(files_in(scratch.path()).empty());

  EngineStage stage;
  stage.begin({{uuid, "vm1", "vm1", parameters, "<domain/>", state_of(Phase::gone, 7)}});
  stage.shows("vm1", Here::running);
  stage.hypervisor_listener->domain_changed(uuid);
  CHECK(stage.memory_discarded == std::vector<std::string>{"/srv/memory"});
}

TEST_CASE("memory-image: saved under the epoch of who stopped it, and not shut down") {
  Stopped stage;
  REQUIRE(stage.memory_saves.size() == 1);
  CHECK(stage.memory_saves[0].first.directory == "/srv/memory");
  CHECK(stage.memory_saves[0].first.epoch == Epoch{7});
  CHECK(stage.shutdowns == 0);
  SUBCASE("well") {
    stage.shows("vm1", Here::absent);
    stage.memory_saves[0].second(Done{});
    REQUIRE(stage.reply.has_value());
    CHECK(stage.reply->code == wire::OcfCode::success);
    CHECK(stage.shutdowns == 0);
  }
  SUBCASE("not well: it is shut down") {
    stage.memory_saves[0].second(Error{"no space left"});
    CHECK_FALSE(stage.reply.has_value());
    CHECK(stage.shutdowns == 1);
    CHECK(std::any_of(stage.alarms.begin(), stage.alarms.end(), [](const auto& one) { return one.find("no space left") != std::string::npos; }));
  }
}

TEST_CASE("memory-image: a boot asks for that of the epoch just before its own") {
  EngineStage stage;
  stage.begin({{uuid, "vm1", "vm1", parameters, "<domain/>", state_of(Phase::gone, 7)}});
  Order start = EngineStage::order(Order::Kind::start, "vm1");
  start.parameters = parameters;
  stage.give(start);
  Attempt attempt;
  for (const auto& [to, message] : stage.sent)
    if (const auto* claim = std::get_if<wire::Claim>(&message)) attempt = claim->attempt;
  const auto gone = [&](std::uint64_t epoch) { stage.hears(wire::Gone{uuid, attempt, {epoch}, "", "", {}}); };
  SUBCASE("nobody had it since") {
    gone(7);
    REQUIRE(stage.boots == 1);
    REQUIRE(stage.booted.image.has_value());
    CHECK(stage.booted.image->epoch == Epoch{7});
  }
  SUBCASE("the other node had it since: what is left of epoch 7 is not asked for") {
    gone(9);
    REQUIRE(stage.boots == 1);
    REQUIRE(stage.booted.image.has_value());
    CHECK(stage.booted.image->epoch == Epoch{9});
  }
}

TEST_CASE("memory-image: without the parameter no boot looks for one") {
  EngineStage stage;
  stage.begin({{uuid, "vm1", "vm1", {{"config", "/vm1.xml"}}, "<domain/>", state_of(Phase::gone, 7)}});
  stage.give(EngineStage::order(Order::Kind::start, "vm1"));
  for (const auto& [to, message] : stage.sent)
    if (const auto* claim = std::get_if<wire::Claim>(&message)) stage.hears(wire::Gone{uuid, claim->attempt, {7}, "", "", {}});
  REQUIRE(stage.boots == 1);
  CHECK_FALSE(stage.booted.image.has_value());
}

TEST_CASE("memory-image: an image that can't be taken up stays for who starts next, and the start says so") {
  tests::LibvirtNode node(false);
  const std::string directory = node.scratch / "memory";
  std::filesystem::create_directory(directory);
  write_file(directory + "/" + file_of(node.vm, 7), "no memory image at all");
  node.hypervisor.start();
  REQUIRE(node.until([&] { return node.log.has("is connected"); }));
  std::optional<Outcome> booted;
  node.hypervisor.boot({node.vm, "vm1", node.xml(), 0, engine::MemoryImage{directory, {7}}}, [&](Outcome outcome) { booted = outcome; });
  REQUIRE(node.until([&] { return booted.has_value(); }));
  REQUIRE_FALSE(booted->ok());
  CHECK(booted->error().find("remove " + directory + "/" + file_of(node.vm, 8)) != std::string::npos);
  CHECK(files_in(directory) == std::set<std::string>{file_of(node.vm, 8)});
  CHECK(node.look().here == Here::absent);
}

TEST_CASE("memory-image: snapshot and force_stop contradict each other, and a stop does without them all the same") {
  const std::map<std::string, std::string> both{{"config", "/vm1.xml"}, {"snapshot", "/srv"}, {"force_stop", "1"}};
  CHECK_FALSE(resource::parse(both).ok());
  CHECK(resource::good_parameters(both).complaint.find("can't be used together") != std::string::npos);
  CHECK_FALSE(resource::parse({{"config", "/vm1.xml"}, {"snapshot", "srv"}}).ok());
}
