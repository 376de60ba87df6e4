// SPDX-License-Identifier: GPL-2.0-or-later
// What the daemons of two nodes say to each other, once the link has authenticated both (io/node-link).
// Plain values; peer-codec.h turns them into bytes and back. Nothing here commits anybody by itself: what a
// message means is decided in the room `handoff`.
#pragma once

#include <map>
#include <set>
#include <string>
#include <variant>

#include "migrationd/base/clock.h"
#include "migrationd/base/ids.h"

namespace migrationd::wire {

/// First message each way on a link. `software` is for people only.
struct Hello {
  int protocol = 1;
  std::string installation;  ///< installation UUID of the sender
  std::string boot_id;
  std::uint64_t incarnation = 0;
  std::string software;
};
/// `epoch`: the largest that the claimer knows. `resource`, `parameters`: the resource that it starts, for a holder where the
/// domain was started by hand, which knows of none. `time_left_ms`: until the claimer gives up; 0: it does not say. `places`: how many
/// migrations from the receiver may be under way to the claimer's node; 0: it does not say, or, when it is `full`, none is to begin now.
/// `post_copy`: the claimer's daemon knows what a domain given in post-copy is.
struct Claim {
  DomainUuid domain;
  Attempt attempt;
  Epoch epoch;
  std::string resource{};
  std::map<std::string, std::string> parameters{};
  std::uint64_t time_left_ms = 0;
  std::uint64_t places = 0;
  bool full = false;
  bool post_copy = false;
};
struct Withdraw { DomainUuid domain; Attempt attempt; };
/// `post_copy`: it executes no more at the sender, and its memory is still to be fetched from there.
struct Given { DomainUuid domain; Attempt attempt; Epoch epoch; bool post_copy = false; };
struct Released { DomainUuid domain; Attempt attempt; std::string why; };
/// `noted_*`: whom the sender knows as last holder (empty node: nobody).
struct Gone {
  DomainUuid domain;
  Attempt attempt;
  Epoch epoch;
  NodeName noted_node;
  std::string noted_installation;
  Epoch noted_epoch;
};
struct Wait { DomainUuid domain; Attempt attempt; std::string why; };
/// `fetching`: the sender still needs what is left of the domain at the other side.
struct Acknowledged { DomainUuid domain; Attempt attempt; bool fetching = false; };
/// "The guest stands still here, for the switchover of the migration that answers your claim." Only the network is to know:
/// what is sent to the guest from now on had better wait at the destination. It gives nothing away.
struct SwitchingOver { DomainUuid domain; Attempt attempt; };
/// "Claim this of me": a push. `name`, `definition`: so that the destination knows what comes.
/// `resource`, `parameters`: the resource and its parameters, for the destination's own record.
struct Invite {
  DomainUuid domain;
  std::string name;
  std::string definition;
  std::string resource;
  std::map<std::string, std::string> parameters;
};
struct Refusal { DomainUuid domain; std::string why; };
/// "I hold it." `definition`: then it only brings the domain's definition, as it was saved there, for the file of `resource` at
/// the other nodes.
struct Note { DomainUuid domain; std::string name; Epoch epoch; std::string resource{}; std::string definition{}; };
/// Would you be able to take it? Answered by Ready with the same number. `only_asked`: for people; nothing is to come, and
/// no room is kept. `host`: what of the asking node matters to the domain, its storage and CPU. A Ready that is ready may have
/// a `why`: a doubt that does not stand in the way. `start_resources`: the hypervisor's storage pools and networks that it uses are
/// to be started there first.
struct AskReady {
  std::uint64_t question = 0;
  DomainUuid domain;
  std::string name;
  std::uint64_t memory_kib = 0;
  std::string definition;
  bool only_asked = false;
  std::map<std::string, std::string> host;
  bool start_resources = false;
};
/// `incompatible`: not ready because of what the running domain is (CPU, machine type), which waiting does not change.
struct Ready { std::uint64_t question = 0; bool ready = false; std::string why; bool incompatible = false; };
/// The last word of a node that leaves in order: nothing runs here, nothing is started before asking. `at_work`: other nodes
/// that may have come to life since their last farewell, as far as it knows.
struct Farewell { std::set<NodeName> at_work; };
/// The connections of which a carried migration is made: libvirt's own conversation, the guest's memory, its disks.
enum class CarriedStream { libvirt, memory, disks };
/// Said instead of a Hello: this connection is to be one stream of the migration of `domain` that answers the claim `attempt`.
/// `migration`: 32 hexadecimal digits that name it at both nodes; `place`: the directory in which both keep its sockets.
struct Carry {
  DomainUuid domain;
  Attempt attempt;
  std::string migration;
  std::string place;
  CarriedStream stream = CarriedStream::libvirt;
};
/// The answer to Carry; what follows is the stream itself. `why`: it is refused; empty: it is not.
struct Carried { std::string why; };
/// Keeps the link known to be alive.
struct Ping { std::uint64_t number = 0; };
struct Pong { std::uint64_t number = 0; };
/// What the sender keeps as the definition of the domain of `resource`, whose parameter is `config`. `origin`, `epoch`, `version`:
/// whose it is, and how new (engine::KeptDefinition). `held`: the sender holds the domain, and is its origin. Without `xml` it says
/// only that there is one with that `digest`; who has it not asks for it.
struct Defined {
  DomainUuid domain;
  std::string name;
  std::string resource;
  std::string config;
  NodeName origin;
  Epoch epoch;
  std::uint64_t version = 1;
  std::string digest;
  bool held = false;
  std::string xml{};
};
struct AskDefinition { DomainUuid domain; };

using PeerMessage = std::variant<Hello, Claim, Withdraw, Given, Released, Gone, Wait, Acknowledged, Invite, Refusal,
                                 Note, AskReady, Ready, Farewell, Carry, Carried, Ping, Pong, SwitchingOver, Defined, AskDefinition>;

const char* to_string(CarriedStream stream);

}  // namespace migrationd::wire
