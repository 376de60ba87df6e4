// SPDX-License-Identifier: GPL-2.0-or-later
// The engine of one node: it brings what happens (orders of the cluster manager, messages of peers, changes
// of the hypervisor, time) to the runner of the domain that it concerns, and the runners' answers back.
//
//   engine.cc    runners, peers, hypervisor: routing only
//   orders.cc    start, stop, monitor, migrate_to, migrate_from: their time and their answer
//   stops.cc     what a stop means, and whether an offer still stands
//   failures.cc  what the cluster manager is told of a domain that ended here by itself
//   absence.cc   what proves a silent node absent: farewell, fencing, or the administrator's word
//   alarms.cc    what people must look at, and when that is over
//   definitions.cc what the domain is defined by, here and at the other nodes; with definition-keeper.cc
//   readiness.cc may a domain come or boot here: memory, hypervisor, cluster manager
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "migrationd/engine/definition-keeper.h"
#include "migrationd/engine/domain-runner.h"
#include "migrationd/engine/policy.h"
#include "migrationd/engine/world.h"
#include "migrationd/wire/local-message.h"

namespace migrationd::engine {

using OrderId = handoff::Token;

struct OrderReply {
  wire::OcfCode code = wire::OcfCode::error;
  std::string reason;
};

/// What the agent asks for. The definition has been read already, or why it couldn't be.
struct Order {
  enum class Kind { start, stop, monitor, migrate_to, migrate_from, reload };
  Kind kind = Kind::monitor;
  std::string face;                                ///< ocf or lsb
  std::string resource;
  std::map<std::string, std::string> parameters;   ///< as given
  std::optional<Definition> definition;
  OrderReply no_definition;                        ///< why there's none: the answer, if nothing else tells which domain is meant
  bool no_file = false;                            ///< because there is no file `config`: what this node keeps takes its place
  bool misnamed = false;                           ///< because the parameter name contradicts it, so that neither of them tells
  std::string complaint;                           ///< a stop: what was refused of its parameters, which it does without
  Milliseconds timeout{0};                         ///< the caller's patience; 0: it doesn't say
  NodeName target;                                 ///< migrate_to: where to
  wire::HeartbeatCause cause = wire::HeartbeatCause::none;
};

/// One domain in `status`.
struct DomainStatus {
  DomainUuid uuid;
  std::string name;
  std::string resource;
  handoff::State state;
  DomainView view;
  Milliseconds offer_left{0};
  std::vector<Remark> remarks;
  /// Why a stop now would end it, or do nothing, whatever the cluster manager means by it; empty: that decides.
  std::string real_stop;
  bool unfenced_membership = false;  ///< the resource's own word, or the configuration's
  NodeName moved_to;                 ///< who got it live when it left here last; empty: see DomainRunner::moved_to
  std::string definition_from;       ///< what this node would boot it from, or has, as it has no file `config`; empty: the file
};

/// What a destination answered to "would you take it", and what is known of the way there.
struct WouldTake {
  Outcome ready;
  std::optional<Milliseconds> takes{};  ///< nothing: not known
  int priority = 0;
};

struct PeerStatus {
  NodeName node;
  bool linked = false;
  bool member = false;
  bool farewell = false;
};

class Engine : private RunnerHost, private HypervisorListener, private PeerListener, private ClusterListener {
 public:
  /// `cluster.others` may change later (nodes_changed); `records` and `farewells` are what the journal held.
  /// `unreadable`: domains whose record can't be read, and why: nothing is known of them, so they are neither
  /// started nor called absent here until the record is repaired.
  Engine(World& world, handoff::Cluster cluster, PolicyReader read_policy, std::vector<Record> records,
         std::set<NodeName> farewells, std::map<DomainUuid, std::string> unreadable = {}, std::vector<KeptDefinition> kept = {});
  ~Engine() override;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// The list of configured nodes is known, or differs; to be called before begin().
  void nodes_changed() { members_changed(); }
  /// Recovers what the journal holds, then works.
  void begin();

  /// Answers exactly once, within the order's time. 0 when it was answered at once.
  OrderId order(Order order, Callback<OrderReply> reply);
  /// The caller is gone (the agent was killed): nothing is answered any more, and what can be undone is.
  void caller_gone(OrderId id);

  /// True when nothing runs, waits or is offered here: then a farewell may be said.
  bool idle() const;
  /// "Nothing runs here, I start nothing before asking": to all peers, before the end in order.
  void say_farewell();
  /// Waits until no offer stands and no job runs any more (node shutdown), or until `limit`.
  void drain(Milliseconds limit, std::function<void()> done);

  std::vector<DomainStatus> domains() const;
  std::vector<PeerStatus> peers() const;
  bool hypervisor_usable() const { return hypervisor_usable_; }
  /// What a stop that is an offer or a push to `node` would ask it: would it take the domain, and if not, why. Answered
  /// within a few seconds.
  void ask_whether_ready(const DomainUuid& uuid, const NodeName& node, Callback<WouldTake> done);
  /// Whether a copy of the domain that `from` sends for our claim `attempt` may begin to arrive; else why not.
  Outcome awaits_copy(const DomainUuid& uuid, const NodeName& from, Attempt attempt) const;
  /// The administrator's word that nothing of `node`'s old installation can run any more.
  Outcome forget(const NodeName& node);

 private:
  struct Pending;  // an order that waits

  // RunnerHost
  const handoff::Cluster& cluster() const override { return cluster_; }
  void answered(handoff::Token token, bool ok, const std::string& why) override;
  void rejudge_stop(handoff::Token token) override;
  void retry_start(handoff::Token token) override;
  void request_fencing(const NodeName& node, const std::string& why) override;
  std::optional<int> places_for(const NodeName& node) const override;
  // HypervisorListener
  void domain_changed(const DomainUuid& uuid) override;
  void switch_wanted(const DomainUuid& uuid, Attempt attempt, const std::string& why) override;
  void hypervisor_changed(bool usable) override;
  void switching_over(const DomainUuid& uuid) override;
  // PeerListener
  void received(const NodeName& from, const std::string& installation, const wire::PeerMessage& message) override;
  void link_changed(const NodeName& node, bool up) override;
  bool about_unreadable(const NodeName& from, const wire::PeerMessage& message);
  // ClusterListener
  void members_changed() override;
  void joined(const NodeName& node) override { saw_at_work(node); }
  void configuration_changed() override;

  // engine.cc
  DomainRunner* find(const DomainUuid& uuid) const;
  DomainRunner* find_resource(const std::string& resource);
  DomainRunner& runner(const DomainUuid& uuid, const std::string& name);
  Policy policy_of(const std::map<std::string, std::string>& parameters) const;
  struct FromPeer;  // one overload per message

  // orders.cc
  DomainRunner* runner_of(const Order& order, OrderReply& why_not);
  void begin_start(Pending& pending);
  void start_resources(handoff::Token token);
  void start_resources(const Definition& definition, Callback<Outcome> done);
  bool refused_for_memory(const Pending& pending);
  void begin_stop(Pending& pending);
  void begin_push(Pending& pending);
  void move_cold(Pending& pending, const std::string& why);
  void mean_stop(handoff::Token token);
  bool wait_for_hypervisor(Pending& pending);
  void real_stop(Pending& pending, const std::string& reason);
  /// Why a stop can only be a real one, whatever it is for; empty: that is to be asked of the cluster manager.
  static std::string why_real_stop(const handoff::State& state, const DomainView& view, const Policy& policy);
  std::string why_real_stop(const DomainRunner& runner) const;
  void offer_if_ready(handoff::Token token, const StopIntent& intent);
  void keep(handoff::Token token, const StopIntent& intent, Milliseconds stands);
  OrderReply monitor(const Order& order);
  OrderReply monitor_of(const DomainUuid& uuid);
  OrderReply monitor_named(const std::string& name);
  OrderReply reload(const Order& order);
  void finish(handoff::Token token, OrderReply reply);
  void time_up(handoff::Token token);
  StopQuestion question_of(const DomainRunner& runner) const;

  static Milliseconds real_stop_time(const DomainRunner& runner);
  Instant real_stop_by(const Pending& pending);

  // failures.cc
  bool answers_for(const DomainRunner& runner) const;
  bool ordered(const DomainUuid& uuid) const;
  /// Tells the cluster manager, once, if the domain has come to its end.
  void notice_end(const DomainUuid& uuid, bool earlier = false);
  void notice_earlier_end(const DomainUuid& uuid);
  void tell_end(const DomainUuid& uuid, recovery::Ending ending, bool earlier);
  void report_end(const DomainUuid& uuid, const std::string& what, bool earlier, const std::string& alarm);
  void end_told(const DomainUuid& uuid, bool reported);
  bool wait_until_told(Pending& pending);
  std::function<bool()> still_wanted(const DomainUuid& uuid);
  void answer_monitor(Order order, Callback<OrderReply> reply);

  // absence.cc
  void check_assumptions(const NodeName& node);
  void check_for_a_twin(const NodeName& node, const DomainRunner& runner, Epoch epoch);
  void look_for_proofs();
  bool wants_proof(const DomainRunner& runner) const;
  void clean_up_proven_starts();
  bool held_beyond_membership(const DomainUuid& uuid) const;
  std::set<NodeName> maybe_at_work() const;
  void overtaken_farewells(const NodeName& from, const std::set<NodeName>& at_work);
  bool farewell_is_doubtful(const NodeName& node) const;
  std::string uncounted_farewells(const DomainRunner& runner) const;
  bool farewell_counts(const DomainRunner& runner, const NodeName& node) const;
  bool another_is_silent(const DomainRunner& runner, const NodeName& node, bool anybody) const;
  void prove(DomainRunner& runner, const NodeName& node);
  void assume_absent(const DomainUuid& uuid, const NodeName& node);
  void ask_fencing_again(const NodeName& node, Milliseconds after);
  void ask_whether_absent_beside_us(Callback<Outcome> done);
  void ask_whether_fenced(std::set<NodeName> nodes, Callback<Outcome> done);
  void proven(const DomainUuid& uuid, const NodeName& node, handoff::Proof proof);
  void heard_from(const NodeName& node);
  void saw_at_work(const NodeName& node) override;
  void holds(const DomainUuid& uuid) override { share_definition(uuid); }
  bool stood_still() const;
  void note_tick();

  // readiness.cc
  /// `job_time`: what the migration will have. `done` comes with the reason when the node is not ready.
  void ask_ready(const NodeName& node, const DomainRunner& runner, Instant order_ends, Milliseconds job_time,
                 Callback<Fitness> done, bool only_asked = false);
  std::uint64_t new_question(const NodeName& node, const DomainRunner& runner, Instant order_ends, Callback<Fitness> done);
  void ask_whether_it_boots(const NodeName& node, const DomainRunner& runner, Instant order_ends, Callback<Fitness> done);
  void departs(std::uint64_t number, const Result<Departure>& departure, const std::string& too_slow);
  void ask_again(std::uint64_t number);
  void answer_ready(const NodeName& from, const wire::AskReady& question);
  void ready_answered(const NodeName& from, const wire::Ready& answer);
  std::uint64_t promised_memory_kib(const DomainUuid& except) const;
  /// Why a domain that needs so much memory has no room here; empty: it has, or it can't be told.
  std::string no_room(const DomainUuid& uuid, std::uint64_t need_kib) const;

  void keep_utilization();

  // alarms.cc
  /// Says it, and which alarms it ends.
  void say_link(const NodeName& node, bool up);
  void say_whether_hypervisor_answers();
  void still_away();

  // definitions.cc
  void save_configs();
  bool use_kept(Order& order);
  void note_definition(DomainRunner& runner, const Order& order, bool kept);
  void saw_file(const Order& order);
  bool held_here(const DomainUuid& uuid) const;
  void share_definition(const DomainUuid& uuid);
  void definition_kept(const KeptDefinition& kept);
  bool waits_for_definition(const Order& order) const;
  void wait_for_definition(Order order, Callback<OrderReply> reply);
  void answer_probes();
  void look_for_resources();
  void take_definition(const NodeName& from, const wire::Note& note);
  // offers, judged again
  void judge_offers();
  OfferQuestion offer_question(const DomainRunner& runner) const;

  World& world_;
  handoff::Cluster cluster_;
  PolicyReader read_policy_;
  std::map<DomainUuid, std::unique_ptr<DomainRunner>> runners_;
  std::map<handoff::Token, std::unique_ptr<Pending>> pending_;
  handoff::Token next_token_ = 1;
  bool hypervisor_usable_ = false;
  unsigned seconds_away_ = 0;   ///< so many ticks in turn
  bool recovered_ = false;
  bool leaving_ = false;
  bool members_known_ = false;  ///< since this node's cluster manager is up
  std::set<NodeName> farewells_;
  std::set<NodeName> old_farewells_;  ///< of these, those that an engine before this one heard, or that others know more of
  std::map<DomainUuid, std::string> unreadable_;
  std::set<NodeName> fencing_asked_;
  /// The end of a domain that the cluster manager is, or was, told of.
  struct Telling {
    struct Monitor {
      Order order;
      Callback<OrderReply> reply;
      TimerId timer = 0;
    };
    bool under_way = true;
    bool ordered = false;             ///< it can't be called off any more
    bool called_off = false;
    Instant acted_upon_by;         ///< told so: until then what the cluster manager does about it is on its way
    std::map<handoff::Token, Instant> stops;  ///< that wait for it, and until when
    std::map<std::uint64_t, Monitor> monitors;  ///< by when they came
  };
  std::map<DomainUuid, Telling> tellings_;
  std::set<DomainUuid> crashed_;               ///< guests that are here, and looked at again
  std::set<DomainUuid> unproven_starts_;       ///< starts that failed only for want of proof, not cleaned up yet
  /// Who said over the link that is up now that it holds a domain.
  struct HeldBy {
    NodeName node;
    Instant said;
  };
  std::map<DomainUuid, HeldBy> held_by_;
  struct Assumption {
    DomainUuid domain;
    std::string boot_id;  ///< of the node's boot then
  };
  /// What was started on the assumption that a node is absent because it is no member.
  std::multimap<NodeName, Assumption> assumed_absent_;
  std::set<std::pair<NodeName, DomainUuid>> was_alive_;  ///< a node that was taken for dead, and what was started then
  std::map<NodeName, std::uint64_t> served_;  ///< the number of the last arrival from each node
  std::uint64_t arrivals_ = 0;
  std::map<DomainUuid, Epoch> ran_twice_;  ///< in which epoch it ran here while another instance did
  struct OfferedTo {
    NodeName node;
    std::string boot_id;  ///< of the node's boot then
  };
  std::map<DomainUuid, OfferedTo> offered_to_;  ///< the last offer of each, since this engine began
  std::map<NodeName, Instant> last_word_;      ///< when a node was last heard or seen as member
  std::map<NodeName, Instant> link_lost_;      ///< when the last link to a node broke
  Instant begun_;                              ///< when this engine began
  struct Question {
    NodeName node;
    Callback<Fitness> done;
    TimerId timer = 0;
    Instant ends;
    wire::AskReady message;
    std::string why_not;  ///< its last no
    bool incompatible = false;  ///< said by it
    std::optional<Milliseconds> takes{};
  };
  std::map<std::uint64_t, Question> questions_;
  struct Promise {
    std::uint64_t memory_kib = 0;
    Instant ends;
  };
  std::map<DomainUuid, Promise> promises_;  ///< of domains whose holders were told that they have room here
  std::set<DomainUuid> starting_resources_;  ///< of these the hypervisor starts pools and networks now: once at a time
  std::uint64_t next_question_ = 1;
  DefinitionKeeper definitions_;
  struct Probe {
    Order order;
    Callback<OrderReply> reply;
    Instant ends;
  };
  std::vector<Probe> probes_;                      ///< of domains whose definition may be on its way from another node
  std::set<std::string> undefined_;                ///< resources whose monitor was answered without one
  TimerId tick_timer_ = 0;
  unsigned ticks_ = 0;
  Instant last_tick_;
  Instant stood_still_until_;
  void tick();
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
  template <class T>
  Callback<T> alive(std::function<void(T)> call) {
    return [weak = std::weak_ptr<int>(life_), call = std::move(call)](T value) {
      if (weak.lock()) call(std::move(value));
    };
  }
};

}  // namespace migrationd::engine
