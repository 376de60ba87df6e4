// SPDX-License-Identifier: GPL-2.0-or-later
// Who may have a migration carried to a node: tickets, what its libvirt may be asked, whose the sockets are.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <thread>

#include "link-fixture.h"
#include "migrationd/io/arrival-guard.h"
#include "migrationd/io/carrier.h"
#include "migrationd/io/departure-guard.h"
#include "rpc-bytes.h"
#include "scratch.h"

using namespace migrationd;
using namespace migrationd::tests;

namespace {

const DomainUuid uuid = *DomainUuid::parse("0b7e4c1a-90ab-4cde-8f01-23456789abcd");
const std::string migration(32, 'a');
const std::string definition = "<domain type='qemu'><name>vm1</name><uuid>" + uuid.str() + "</uuid><memory>1024</memory><os><type>hvm</type></os></domain>";
constexpr std::uint32_t usual_flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_PAUSED;

std::string own_capabilities() {
  return "<capabilities><host><secmodel><model>none</model></secmodel><secmodel><model>dac</model><baselabel type='kvm'>+" + std::to_string(::geteuid()) +
         ":+" + std::to_string(::getegid()) + "</baselabel></secmodel></host></capabilities>";
}

/// Node b with a carrier and a libvirt that says nothing; node a asks.
struct Destination {
  explicit Destination(Milliseconds prepare_within = Milliseconds{30'000}) {
    settings.prepare_within = prepare_within;
    settings.place = io::CarriedPlace(scratch.path() + "/run");
    REQUIRE(::mkdir((scratch.path() + "/run").c_str(), 0700) == 0);
    REQUIRE(settings.place.prepare().ok());
    auto listening = io::listen_at(scratch.path() + "/libvirt", {::geteuid(), ::getegid()});
    REQUIRE_MESSAGE(listening.ok(), (listening.ok() ? "" : listening.error()));
    libvirt = std::move(listening.value());
    settings.libvirt_uri = "qemu:///system?socket=" + scratch.path() + "/libvirt";
    settings.pid_directory = scratch.path();
    settings.capabilities = [] { return own_capabilities(); };
    settings.incarnation = claimed.incarnation;
    settings.look_every = Milliseconds{20};
    settings.without_link = Milliseconds{200};
    settings.awaited = [this](const DomainUuid& domain, const NodeName& from, Attempt attempt) -> Outcome {
      CHECK(from == "a");
      if (!open) return Error{"the claim is over"};
      return domain == uuid && attempt == claimed ? Outcome(Done{}) : Error{"this node has no open claim"};
    };
    a.start();
    b.start();
    carrier = std::make_unique<io::Carrier>(loop, settings, *b.link, b.log);
    introduce(a, b);
    REQUIRE(run_until(loop, [&] { return a.link->linked("b"); }));
    ticket = {uuid, claimed, migration, settings.place.streams(), wire::CarriedStream::libvirt};
  }

  /// The refusal; empty: it was accepted, and `stream` is the asking end.
  std::string ask(const wire::Carry& carry) {
    std::optional<std::string> answer;
    a.link->open_stream("b", "", carry, [&](Result<io::SecureStream> opened) {
      answer = opened.ok() ? "" : opened.error();
      if (opened.ok()) streams.push_back(std::move(opened.value()));
    });
    REQUIRE(run_until(loop, [&] { return answer.has_value(); }));
    return *answer;
  }
  bool refused(const wire::Carry& carry, const std::string& why) { return ask(carry).find(why) != std::string::npos; }
  bool directory_there() { return std::filesystem::exists(settings.place.directory(migration)); }

  Scratch scratch;
  boost::asio::io_context loop;
  Node a{loop, "a"}, b{loop, "b"};
  Attempt claimed{3, 1};
  bool open = true;
  io::CarrierSettings settings{io::CarriedPlace(""), "", "", nullptr, nullptr};
  io::Fd libvirt;
  std::unique_ptr<io::Carrier> carrier;
  wire::Carry ticket;
  std::vector<io::SecureStream> streams;
};

std::string judged(std::map<std::string, std::string> texts, std::uint32_t flags = usual_flags, std::string* passed = nullptr) {
  Scratch scratch;
  io::CarriedPlace place(scratch.path() + "/run");
  REQUIRE(place.prepare().ok());
  REQUIRE(place.make(migration, 0700).ok());
  for (auto& [field, value] : texts)
    if (const auto at = value.find("PLACE"); at != value.npos) value.replace(at, 5, place.directory(migration));
  io::ArrivalGuard guard({uuid, migration, place, own_capabilities()}, std::make_shared<io::Prepared>());
  std::string out;
  const auto may = guard.from_remote(rpc(prepare3_params, migration_arguments(texts, flags)), out);
  if (passed) *passed = out;
  return may ? "" : may.error();
}

const std::map<std::string, std::string> good = {{"destination_xml", definition}, {"migrate_uri", "unix://PLACE/memory.sock"}};
std::map<std::string, std::string> with(std::map<std::string, std::string> texts) {
  texts.insert(good.begin(), good.end());
  return texts;
}

}  // namespace

TEST_CASE("carrier: only the ticket of an open claim opens libvirt's socket, and only once") {
  Destination d;
  wire::Carry forged = d.ticket;
  forged.attempt = {3, 9};
  CHECK(d.refused(forged, "this node has no open claim"));
  forged = d.ticket;
  forged.domain = *DomainUuid::parse("11111111-2222-4333-8444-555555555555");
  CHECK(d.refused(forged, "this node has no open claim"));
  forged = d.ticket;
  forged.place = "/tmp";
  CHECK(d.refused(forged, "set the same runtime_dir on both nodes"));
  CHECK(!d.directory_there());

  CHECK(d.ask(d.ticket) == "");
  CHECK(d.directory_there());
  CHECK(d.refused(d.ticket, "a migration has come for this claim before"));
  wire::Carry again = d.ticket;
  again.migration = std::string(32, 'b');
  CHECK(d.refused(again, "a migration has come for this claim before"));

  // It is over: the directory is gone, the ticket still used; a newer claim opens anew.
  d.streams.clear();
  CHECK(run_until(d.loop, [&] { return !d.directory_there(); }));
  CHECK(d.refused(again, "a migration has come for this claim before"));
  d.claimed = again.attempt = {3, 2};
  CHECK(d.ask(again) == "");
  CHECK(d.refused(d.ticket, "a migration has come for this claim before"));
}

TEST_CASE("carrier: a ticket that was used stays used when the daemon is restarted, though its claim is still open") {
  Destination d;
  CHECK(d.ask(d.ticket) == "");
  d.streams.clear();
  CHECK(run_until(d.loop, [&] { return !d.directory_there(); }));
  d.carrier.reset();
  d.settings.incarnation = 4;
  REQUIRE(d.settings.place.prepare().ok());
  d.carrier = std::make_unique<io::Carrier>(d.loop, d.settings, *d.b.link, d.b.log);
  CHECK(d.refused(d.ticket, "that of an earlier daemon"));
  CHECK(!d.directory_there());
  wire::Carry next = d.ticket;
  d.claimed = next.attempt = {4, 1};
  CHECK(d.ask(next) == "");
}

TEST_CASE("carrier: a ticket that is over ends what it opened") {
  Destination d;
  SUBCASE("the claim is over before libvirt has prepared anything") {
    CHECK(d.ask(d.ticket) == "");
    CHECK(d.directory_there());
    d.open = false;
    CHECK(run_until(d.loop, [&] { return !d.directory_there(); }));
    CHECK(d.b.log.has("is cut off: the claim is over"));
  }
  SUBCASE("the other node is gone") {
    CHECK(d.ask(d.ticket) == "");
    d.a.link->drop("b");
    d.a.stop();
    CHECK(run_until(d.loop, [&] { return !d.directory_there(); }));
    CHECK(d.b.log.has("is cut off: the link to a is down"));
  }
}

TEST_CASE("carrier: libvirt's Prepare has its time") {
  Destination d(Milliseconds{100});
  CHECK(d.ask(d.ticket) == "");
  CHECK(run_until(d.loop, [&] { return !d.directory_there(); }));
  CHECK(d.b.log.has("Prepare has not been answered in time"));
}

TEST_CASE("carrier: memory and disks come only for a migration whose emulator listens") {
  Destination d;
  wire::Carry memory = d.ticket;
  memory.stream = wire::CarriedStream::memory;
  CHECK(d.refused(memory, "no such migration has begun"));
  CHECK(d.ask(d.ticket) == "");
  CHECK(d.refused(memory, "its emulator does not listen yet"));

  // libvirt's answer to Prepare.
  const std::string prepare = rpc(prepare3_params, migration_arguments({{"destination_xml", definition}, {"migrate_uri", "unix://" + d.settings.place.directory(migration) + "/memory.sock"}}, usual_flags), 5);
  REQUIRE(d.streams[0].write("r" + prepare).ok());
  REQUIRE(d.streams[0].send().ok());
  pollfd waiting{d.libvirt.get(), POLLIN, 0};
  REQUIRE(::poll(&waiting, 1, 30'000) == 1);
  const io::Fd libvirt(::accept4(d.libvirt.get(), nullptr, nullptr, SOCK_CLOEXEC));
  std::string received(prepare.size(), 0);
  CHECK(::recv(libvirt.get(), received.data(), received.size(), MSG_WAITALL) == static_cast<ssize_t>(prepare.size()));
  CHECK(received == prepare);
  auto squatter = io::listen_at(d.settings.place.socket(migration, wire::CarriedStream::memory), {::geteuid(), ::getegid()});
  REQUIRE(squatter.ok());
  const std::string answer = rpc(prepare3_params, "", 5, 1);
  REQUIRE(::send(libvirt.get(), answer.data(), answer.size(), MSG_NOSIGNAL) > 0);
  waiting = {d.streams[0].fd(), POLLIN, 0};
  REQUIRE(::poll(&waiting, 1, 30'000) == 1);

  // This process listens, but it is no emulator of the domain.
  CHECK(d.refused(memory, "it is not the domain's emulator that listens"));
  wire::Carry other = memory;
  other.attempt = {1, 1};
  CHECK(d.refused(other, "no such migration has begun"));
}

TEST_CASE("carrier: nothing of it is left when it ends, nor what an earlier one left") {
  Scratch scratch;
  {
    Destination d;
    CHECK(d.ask(d.ticket) == "");
    CHECK(d.directory_there());
    d.carrier.reset();
    CHECK(!std::filesystem::exists(d.settings.place.streams()));
  }
  io::CarriedPlace place(scratch.path() + "/run");
  REQUIRE(place.prepare().ok());
  REQUIRE(place.make(migration, 0711).ok());
  auto left = io::listen_at(place.socket(migration, wire::CarriedStream::memory), {::geteuid(), ::getegid()});
  REQUIRE(left.ok());
  CHECK(place.prepare().ok());
  CHECK(!std::filesystem::exists(place.directory(migration)));
}

TEST_CASE("carrier: a place that is somebody else's, a link or too long is refused") {
  Scratch scratch;
  CHECK(io::CarriedPlace(scratch.path() + "/" + std::string(90, 'x')).prepare().error().find("shorter runtime_dir") != std::string::npos);
  std::filesystem::create_directory_symlink("/tmp", scratch.path() + "/run.streams");
  CHECK(io::CarriedPlace(scratch.path() + "/run").prepare().error().find("is not this user's own directory") != std::string::npos);
}

TEST_CASE("arrival guard: what a migration asks of libvirt is for the claimed domain, paused, through its own sockets") {
  std::string passed;
  CHECK(judged(good, usual_flags, &passed) == "");
  CHECK(!passed.empty());
  CHECK(judged(with({{"destination_name", "vm1"}, {"disks_uri", "unix://PLACE/disks.sock"}}), usual_flags | VIR_MIGRATE_NON_SHARED_DISK) == "");

  const auto refusal = [&](std::map<std::string, std::string> texts, std::uint32_t flags, const std::string& why) {
    std::string out;
    const std::string said = judged(std::move(texts), flags, &out);
    CAPTURE(said);
    CHECK(said.find(why) != std::string::npos);
    CHECK(out == "");
  };
  refusal(good, VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER, "would not arrive paused");
  refusal(good, usual_flags | VIR_MIGRATE_TUNNELLED, "is not carried");
  refusal(good, usual_flags | VIR_MIGRATE_NON_SHARED_INC, "the disks would come another way");
  refusal({{"migrate_uri", "unix://PLACE/memory.sock"}}, usual_flags, "the definition that it brings");
  std::string other = definition;
  other.replace(other.find("0b7e"), 4, "1b7e");
  refusal({{"destination_xml", other}, {"migrate_uri", "unix://PLACE/memory.sock"}}, usual_flags, "another domain");
  std::string nameless = definition;
  nameless.erase(nameless.find("<uuid>"), 6 + 36 + 7);
  refusal({{"destination_xml", nameless}, {"migrate_uri", "unix://PLACE/memory.sock"}}, usual_flags, "another domain");
  refusal({{"destination_xml", definition}, {"migrate_uri", "tcp://0.0.0.0"}}, usual_flags, "the memory would come another way");
  refusal({{"destination_xml", definition}}, usual_flags, "the memory would come another way");
  refusal(with({{"disks_uri", "tcp://0.0.0.0"}}), usual_flags, "the disks would come another way");
  refusal(with({{"destination_name", "vm2"}}), usual_flags, "it names the domain otherwise");
}

TEST_CASE("arrival guard: the finish is of the same domain, and leaves the copy paused") {
  Scratch scratch;
  io::CarriedPlace place(scratch.path() + "/run");
  REQUIRE(place.prepare().ok());
  const auto finished = [&](const std::string& name, std::uint32_t flags) {
    place.remove(migration);
    REQUIRE(place.make(migration, 0700).ok());
    auto prepared = std::make_shared<io::Prepared>();
    io::ArrivalGuard guard({uuid, migration, place, own_capabilities()}, prepared);
    std::string out;
    REQUIRE(guard.from_remote(rpc(prepare3_params, migration_arguments({{"destination_xml", definition}, {"migrate_uri", "unix://" + place.directory(migration) + "/memory.sock"}}, usual_flags), 5), out).ok());
    CHECK(prepared->domain_name() == "");
    REQUIRE(guard.from_local(rpc(prepare3_params, "", 5, 1), out).ok());
    CHECK(prepared->domain_name() == "vm1");
    const auto may = guard.from_remote(rpc(finish3_params, migration_arguments({{"destination_name", name}}, flags) + word(0)), out);
    return may ? "" : may.error();
  };
  CHECK(finished("vm1", usual_flags) == "");
  CHECK(finished("vm2", usual_flags).find("it is for domain vm2, not for vm1") != std::string::npos);
  CHECK(finished("vm1", VIR_MIGRATE_LIVE).find("would not arrive paused") != std::string::npos);
}

TEST_CASE("arrival guard: where post-copy is possible the copy runs on the hand-off's word alone, and comes paused without it") {
  Scratch scratch;
  io::CarriedPlace place(scratch.path() + "/run");
  REQUIRE(place.prepare().ok());
  const std::uint32_t flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_POSTCOPY;
  const auto finish = [](std::uint32_t its, std::uint32_t cancelled) {
    return rpc(finish3_params, migration_arguments({{"destination_name", "vm1"}}, its) + word(cancelled), 6);
  };
  const auto passes = [&](bool word, const std::string& message) {
    place.remove(migration);
    REQUIRE(place.make(migration, 0700).ok());
    auto prepared = std::make_shared<io::Prepared>();
    io::ArrivalGuard guard({uuid, migration, place, own_capabilities()}, prepared);
    const io::Fd told_to_end(::eventfd(1, EFD_CLOEXEC));  // nothing is waited for
    guard.stopped_by(told_to_end.get());
    std::string out;
    REQUIRE(guard.from_remote(rpc(prepare3_params, migration_arguments({{"destination_xml", definition}, {"migrate_uri", "unix://" + place.directory(migration) + "/memory.sock"}}, flags), 5), out).ok());
    REQUIRE(guard.from_local(rpc(prepare3_params, "", 5, 1), out).ok());
    if (word) prepared->gate().say(io::PostCopyGate::Word::run);
    out.clear();
    REQUIRE(guard.from_remote(message, out).ok());
    return out;
  };
  CHECK(passes(true, finish(flags, 0)) == finish(flags, 0));
  CHECK(passes(false, finish(flags, 0)) == finish(flags | VIR_MIGRATE_PAUSED, 0));
  CHECK(passes(true, finish(flags | VIR_MIGRATE_PAUSED, 0)) == finish(flags | VIR_MIGRATE_PAUSED, 0));
  CHECK(passes(false, finish(flags, 1)) == finish(flags, 1));
}

TEST_CASE("departure guard: libvirt's finish asks for a running copy only when the domain was given in post-copy") {
  using Word = io::PostCopyGate::Word;
  const std::uint32_t flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_POSTCOPY;
  const auto finish = [](std::uint32_t its) { return rpc(finish3_params, migration_arguments({{"destination_name", "vm1"}}, its) + word(0), 6); };
  const auto passes = [&](std::vector<Word> words) {
    auto gate = std::make_shared<io::PostCopyGate>();
    io::DepartureGuard guard(gate);
    const io::Fd told_to_end(::eventfd(1, EFD_CLOEXEC));
    guard.stopped_by(told_to_end.get());
    std::string out;
    const std::string prepare = rpc(prepare3_params, migration_arguments({}, flags), 5);
    REQUIRE(guard.from_local(prepare, out).ok());
    CHECK(out == prepare);
    REQUIRE(guard.from_remote(rpc(prepare3_params, "", 5, 1), out).ok());
    for (const Word one : words) gate->say(one);
    out.clear();
    REQUIRE(guard.from_local(finish(flags), out).ok());
    return out;
  };
  CHECK(passes({}) == finish(flags | VIR_MIGRATE_PAUSED));
  CHECK(passes({Word::ordered}) == finish(flags | VIR_MIGRATE_PAUSED));
  CHECK(passes({Word::ordered, Word::switched}) == finish(flags | VIR_MIGRATE_PAUSED));
  CHECK(passes({Word::ordered, Word::none}) == finish(flags | VIR_MIGRATE_PAUSED));
  CHECK(passes({Word::ordered, Word::switched, Word::run}) == finish(flags));
}

TEST_CASE("post-copy gate: who waits hears the word from another thread, and no longer than its limit") {
  using Word = io::PostCopyGate::Word;
  io::PostCopyGate gate;
  const io::Fd stop(::eventfd(0, EFD_CLOEXEC));
  CHECK_FALSE(gate.wait(Word::run, Milliseconds{10}, stop.get()));
  std::thread other([&] {
    gate.say(Word::ordered);
    gate.say(Word::run);
  });
  CHECK(gate.wait(Word::switched, Milliseconds{60'000}, stop.get()));
  other.join();
  CHECK(gate.said() == Word::run);
}

TEST_CASE("arrival guard: the directory is the emulator's until it listens, and root's before and after") {
  if (::geteuid() != 0) return;  // only root gives files away; CI and the lab run as root
  Scratch scratch;
  std::filesystem::permissions(scratch.path(), std::filesystem::perms::others_exec, std::filesystem::perm_options::add);
  io::CarriedPlace place(scratch.path() + "/run");
  REQUIRE(place.prepare().ok());
  REQUIRE(place.make(migration, 0700).ok());
  const auto owner = [&] {
    struct stat status {};
    REQUIRE(::stat(place.directory(migration).c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0700);
    return status.st_uid;
  };
  std::string capabilities = own_capabilities(), out;
  capabilities.replace(capabilities.find("+0:+0"), 5, "+4711:+4712");
  io::ArrivalGuard guard({uuid, migration, place, capabilities}, std::make_shared<io::Prepared>());
  CHECK(owner() == 0);
  REQUIRE(guard.from_remote(rpc(prepare3_params, migration_arguments({{"destination_xml", definition}, {"migrate_uri", "unix://" + place.directory(migration) + "/memory.sock"}}, usual_flags), 5), out).ok());
  CHECK(owner() == 4711);
  REQUIRE(guard.from_local(rpc(prepare3_params, "", 5, 1), out).ok());
  CHECK(owner() == 0);
}

TEST_CASE("carried place: whose the emulator is, and where libvirt listens") {
  CHECK(io::emulator_owner("<domain/>", own_capabilities()).value().user == ::geteuid());
  const auto labelled = io::emulator_owner("<domain><seclabel model='selinux'><label>x:y</label></seclabel><seclabel type='static' model='dac'><label>+12:+34</label></seclabel></domain>", "");
  REQUIRE(labelled.ok());
  CHECK(labelled.value().user == 12);
  CHECK(labelled.value().group == 34);
  // A dynamic one is of the node that it was made on.
  CHECK(io::emulator_owner("<domain><seclabel type='dynamic' model='dac'><label>+12:+34</label></seclabel></domain>", own_capabilities()).value().user == ::geteuid());
  CHECK(io::owner_of_label("root:root")->user == 0);
  CHECK(io::owner_of_label("0:0")->group == 0);
  for (const char* label : {"", "root", "nobody-knows-him:root", "+1x:+2", "+:+", "+99999999999:+1"}) CHECK(!io::owner_of_label(label));
  CHECK(!io::emulator_owner("<domain/>", "").ok());
  CHECK(!io::emulator_owner("not xml", "<capabilities/>").ok());

  CHECK(io::libvirt_socket("qemu:///system?socket=/run/x") == "/run/x");
  CHECK(io::libvirt_socket("qemu+unix:///system?mode=legacy&socket=/run/x&y=1") == "/run/x");
  CHECK(io::libvirt_socket("nosuchdriver:///system") == "/run/libvirt/libvirt-sock");

  std::set<std::string> names;
  for (int i = 0; i < 100; ++i) names.insert(io::new_migration_name().value());
  CHECK(names.size() == 100);
  CHECK(names.begin()->size() == 32);
}
