// SPDX-License-Identifier: GPL-2.0-or-later
// One question is one coroutine: CIB, plan, facts, decision.
#include "migrationd/io/crm-simulate.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <optional>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "migrationd/io/process.h"
#include "migrationd/io/scheduler-graph.h"
#include "migrationd/io/working-directory.h"

namespace migrationd::io {

namespace {

using Steady = std::chrono::steady_clock;

constexpr std::string_view our_agent = "ocf:migrationd:VirtualDomain";

/// Also a pipe or /dev/stdin, which have no size to ask for: so at most the limit is read.
Result<std::string> read_file(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return Error{"cannot read " + path + ": it is a directory"};
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return Error{"cannot read " + path + ": " + std::strerror(errno)};
  std::string text;
  std::array<char, 65536> block;
  while (stream.read(block.data(), block.size()) || stream.gcount() > 0) {
    text.append(block.data(), static_cast<std::size_t>(stream.gcount()));
    if (text.size() > scheduler_text_limit)
      return Error{"cannot read " + path + ": it is larger than " + std::to_string(scheduler_text_limit / (1024 * 1024)) + " MiB"};
  }
  if (stream.bad()) return Error{"cannot read " + path + " to its end"};
  return text;
}

Outcome write_file(const std::string& path, const std::string& text) {
  std::ofstream stream(path, std::ios::binary);
  stream << text;
  stream.flush();
  if (!stream) return Error{"cannot write " + path + ": is the file system full?"};
  return Done{};
}

struct Reading {
  intent::Plan plan;
  intent::Facts facts;
};

/// The steps of one question, which share its deadline and its working directory.
class Inquiry {
 public:
  Inquiry(SchedulerQuestion question, WorkingDirectory directory)
      : question_(std::move(question)), directory_(std::move(directory)), end_(Steady::now() + question_.deadline) {}

  Milliseconds left() const { return std::chrono::duration_cast<Milliseconds>(end_ - Steady::now()); }

  boost::asio::awaitable<Result<Reading>> read() {
    const auto cib = co_await fetch();
    if (!cib) co_return Error{cib.error()};
    const auto prepared = prepare(cib.value());
    if (!prepared) co_return Error{prepared.error()};
    const auto summary = co_await run(simulate());
    if (!summary) co_return Error{summary.error()};
    co_return collect(summary.value());
  }

  /// With the node in standby, of each resource of ours that is active there.
  boost::asio::awaitable<Result<std::vector<StandbyMove>>> standby() {
    const auto cib = co_await fetch();
    if (!cib) co_return Error{cib.error()};
    const auto names = read_names(cib.value());
    if (!names) co_return Error{names.error()};
    if (!names.value().nodes.contains(question_.node)) co_return Error{unknown_node(names.value())};
    if (const Outcome written = write_file(directory_.file("cib.xml"), cib.value()); !written) co_return Error{written.error()};
    const auto changed = co_await run(put_to_standby());
    if (!changed) co_return Error{changed.error()};
    const auto summary = co_await run(simulate());
    if (!summary) co_return Error{summary.error()};
    const auto all = collect(summary.value());
    if (!all) co_return Error{all.error()};
    std::vector<StandbyMove> moves;
    for (const auto& [name, resource] : all.value().facts.resources) {
      if (resource.agent != our_agent || !resource.configured || !resource.active.contains(question_.node)) continue;
      question_.resource = name;
      auto reading = collect(summary.value());
      if (!reading) co_return Error{reading.error()};
      if (decided(reading.value()).decision.intent != intent::Intent::stop) {
        const auto other = co_await redefined();
        if (!other) co_return Error{"whether the definition of " + name + " changed can't be told: " + other.error()};
        reading.value().facts.redefined = other.value();
      }
      moves.push_back(decided(reading.value()));
    }
    co_return moves;
  }

  /// Of a CIB that is no question's.
  boost::asio::awaitable<Result<Outlook>> outlook(const std::string& cib) {
    if (const Outcome written = write_file(directory_.file("cib.xml"), cib); !written) co_return Error{written.error()};
    auto summary = co_await run(simulate());
    if (!summary) co_return Error{summary.error()};
    const auto graph = read_file(directory_.file("graph.xml"));
    if (!graph) co_return Error{graph.error()};
    auto plan = read_graph(graph.value());
    if (!plan) co_return Error{plan.error()};
    auto input = read_file(directory_.file("input.xml"));
    if (!input) co_return Error{input.error()};
    Outlook seen;
    seen.plan = std::move(plan.value());
    seen.cib = std::move(input.value());
    seen.summary = std::move(summary.value());
    co_return seen;
  }

  /// Facts::redefined by the digests of the resource's parameters.
  boost::asio::awaitable<Result<std::string>> redefined() {
    auto digests = co_await run(compare());
    if (!digests) co_return Error{digests.error()};
    auto input = read_file(directory_.file("input.xml"));
    if (!input) co_return Error{input.error()};
    co_return compare_digests(input.value(), digests.value(), question_.resource, question_.node);
  }

 private:
  /// The file that crm_simulate is to read.
  Outcome prepare(const std::string& cib) {
    if (!question_.cib_file.empty()) {
      const auto names = read_names(cib);
      if (!names) return Error{names.error()};
      if (const std::string unknown = unknown_name(names.value()); !unknown.empty()) return Error{unknown};
    }
    const auto before = before_pending_stop(cib, question_.resource, question_.node);
    if (!before) return Error{before.error()};
    stopping_in_ = before.value().transition;
    return write_file(directory_.file("cib.xml"), before.value().cib);
  }

  /// What crm_simulate left behind.
  Result<Reading> collect(const std::string& summary) const {
    const auto graph = read_file(directory_.file("graph.xml"));
    if (!graph) return Error{graph.error()};
    const auto input = read_file(directory_.file("input.xml"));
    if (!input) return Error{input.error()};
    auto plan = read_graph(graph.value());
    if (!plan) return Error{plan.error()};
    auto facts = read_facts(input.value(), summary, question_.resource, question_.node);
    if (!facts) return Error{facts.error()};
    facts.value().stopping_in = stopping_in_;
    return Reading{std::move(plan.value()), std::move(facts.value())};
  }

  StandbyMove decided(const Reading& reading) const {
    const bool migrated = !intent::find(reading.plan, question_.resource, "migrate_to", question_.node).empty();
    return {question_.resource, intent::decide(reading.plan, reading.facts, question_.resource, question_.node), migrated};
  }

  boost::asio::awaitable<Result<std::string>> fetch() {
    if (question_.cib_file.empty()) co_return co_await run(query());
    co_return read_file(question_.cib_file);
  }

  std::string unknown_name(const Names& names) const {
    if (!names.resources.contains(question_.resource))
      return "the CIB has no primitive resource named \"" + question_.resource + "\"" + listing(names.resources);
    return names.nodes.contains(question_.node) ? std::string() : unknown_node(names);
  }

  std::string unknown_node(const Names& names) const {
    return "the CIB has no node named \"" + question_.node + "\"" + listing(names.nodes);
  }

  static std::string listing(const std::set<std::string>& names) {
    std::string text;
    std::size_t count = 0;
    for (const std::string& name : names) {
      if (++count > 20) return "; it has: " + text + ", ...";
      text += (text.empty() ? "" : ", ") + name;
    }
    return text.empty() ? "" : "; it has: " + text;
  }

  // The commands are built outside the coroutines, which are kept plain: GCC 12 fails on braced lists inside one, and
  // miscompiles `x ? co_await a : b`.
  ProcessOrder order(std::vector<std::string> argv) const {
    ProcessOrder made;
    made.argv = std::move(argv);
    made.output_limit = scheduler_text_limit;
    return made;
  }
  ProcessOrder query() const { return order({"cibadmin", "--query", "--local"}); }
  ProcessOrder simulate() const {
    return order({"crm_simulate", "-x", directory_.file("cib.xml"), "-R", "-G", directory_.file("graph.xml"), "-I",
                  directory_.file("input.xml"), "-O", directory_.file("output.xml"), "--output-as=xml"});
  }
  ProcessOrder put_to_standby() const {
    ProcessOrder made = order({"crm_standby", "-N", question_.node, "-v", "on"});
    made.environment.push_back("CIB_file=" + directory_.file("cib.xml"));
    return made;
  }
  ProcessOrder compare() const {
    ProcessOrder made = order({"crm_resource", "--digests", "--resource", question_.resource, "--node", question_.node, "--output-as=xml"});
    made.environment.push_back("CIB_file=" + directory_.file("input.xml"));
    return made;
  }

  boost::asio::awaitable<Result<std::string>> run(ProcessOrder order) {
    if (left() <= Milliseconds{0}) co_return Error{"the scheduler was not read within " + std::to_string(question_.deadline.count()) + " ms"};
    order.deadline = left();
    auto end = co_await run_process(order);
    if (!end) co_return Error{end.error()};
    if (end.value().truncated) co_return Error{order.argv.front() + " wrote more than is taken"};
    if (end.value().exit_status != 0) co_return Error{describe(order, end.value())};
    co_return std::move(end.value().out);
  }

  SchedulerQuestion question_;
  WorkingDirectory directory_;
  std::string stopping_in_;
  Steady::time_point end_;
};

boost::asio::awaitable<Result<intent::Decision>> explain_once(const SchedulerQuestion& question) {
  auto directory = WorkingDirectory::make(question.directory);
  if (!directory) co_return Error{directory.error()};
  Inquiry inquiry(question, std::move(directory.value()));
  auto reading = co_await inquiry.read();
  if (!reading) co_return Error{reading.error()};
  auto& [plan, facts] = reading.value();
  auto decision = intent::decide(plan, facts, question.resource, question.node);
  if (decision.intent == intent::Intent::stop) co_return decision;
  auto redefined = co_await inquiry.redefined();
  if (!redefined) co_return Error{"whether its definition changed can't be told: " + redefined.error()};
  if (redefined.value().empty()) co_return decision;
  facts.redefined = redefined.value();
  co_return intent::decide(plan, facts, question.resource, question.node);
}

boost::asio::awaitable<Result<std::vector<StandbyMove>>> explain_standby(SchedulerQuestion question) {
  auto directory = WorkingDirectory::make(question.directory);
  if (!directory) co_return Error{directory.error()};
  Inquiry inquiry(question, std::move(directory.value()));
  co_return co_await inquiry.standby();
}

boost::asio::awaitable<Result<Outlook>> look_ahead(std::string cib, SchedulerQuestion question) {
  auto directory = WorkingDirectory::make(question.directory);
  if (!directory) co_return Error{directory.error()};
  Inquiry inquiry(question, std::move(directory.value()));
  co_return co_await inquiry.outlook(cib);
}

boost::asio::awaitable<Result<intent::Judged>> judge(SchedulerQuestion question) {
  question.resource = intent::without_instance(question.resource);
  auto directory = WorkingDirectory::make(question.directory);
  if (!directory) co_return Error{directory.error()};
  Inquiry inquiry(question, std::move(directory.value()));
  auto reading = co_await inquiry.read();
  if (!reading) co_return Error{reading.error()};
  co_return intent::judge_offer(reading.value().plan, reading.value().facts, question.resource, question.node);
}

/// Awaits `work` and calls back with its result; what it throws becomes an Error.
template <class T>
boost::asio::awaitable<void> deliver(boost::asio::awaitable<Result<T>> work, std::function<void(Result<T>)> done) {
  std::string failure;
  std::optional<Result<T>> result;
  try {
    result.emplace(co_await std::move(work));
  } catch (const std::exception& thrown) {
    failure = std::string("reading the scheduler's plan failed: ") + thrown.what();
  }
  done(result ? std::move(*result) : Result<T>(Error{failure}));
}

template <class T>
void spawn(boost::asio::any_io_executor executor, boost::asio::awaitable<Result<T>> work, std::function<void(Result<T>)> done) {
  boost::asio::co_spawn(executor, deliver<T>(std::move(work), std::move(done)), [](std::exception_ptr error) {
    if (error) std::rethrow_exception(error);  // the callback's own: the loop's owner must see it
  });
}

}  // namespace

boost::asio::awaitable<Result<intent::Decision>> explain_stop(SchedulerQuestion question) {
  question.resource = intent::without_instance(question.resource);
  const auto end = Steady::now() + question.deadline;
  for (;; --question.repeats) {
    auto decision = co_await explain_once(question);
    const bool again = question.cib_file.empty() && question.repeats > 0 && decision && decision.value().plan_lacks_stop;
    question.deadline = std::chrono::duration_cast<Milliseconds>(end - Steady::now());
    if (!again || question.deadline < Milliseconds{600}) co_return decision;
    boost::asio::steady_timer pause(co_await boost::asio::this_coro::executor, Milliseconds{300});
    co_await pause.async_wait(boost::asio::use_awaitable);
    question.deadline -= Milliseconds{300};
  }
}

namespace {
template <class T>
Result<T> now(boost::asio::awaitable<Result<T>> work) {
  boost::asio::io_context loop;
  std::optional<Result<T>> answer;
  spawn<T>(loop.get_executor(), std::move(work), [&](Result<T> said) { answer.emplace(std::move(said)); });
  loop.run();
  return answer ? std::move(*answer) : Result<T>(Error{"reading the scheduler's plan was broken off"});
}
}  // namespace

Result<intent::Decision> explain_stop_now(SchedulerQuestion question) { return now<intent::Decision>(explain_stop(std::move(question))); }

Result<std::vector<StandbyMove>> explain_standby_now(SchedulerQuestion question) {
  return now<std::vector<StandbyMove>>(explain_standby(std::move(question)));
}

Result<Outlook> outlook_now(const std::string& cib, const std::string& directory, Milliseconds deadline) {
  SchedulerQuestion question;
  question.directory = directory;
  question.deadline = deadline;
  return now<Outlook>(look_ahead(cib, std::move(question)));
}

void explain_stop(boost::asio::any_io_executor executor, SchedulerQuestion question, std::function<void(intent::Decision)> done) {
  spawn<intent::Decision>(std::move(executor), explain_stop(std::move(question)), [done = std::move(done)](Result<intent::Decision> decision) {
    done(decision ? std::move(decision.value()) : intent::unsure(decision.error()));
  });
}

void judge_offer(boost::asio::any_io_executor executor, SchedulerQuestion question,
                 std::function<void(Result<intent::Judged>)> done) {
  spawn<intent::Judged>(std::move(executor), judge(std::move(question)), std::move(done));
}

}  // namespace migrationd::io
