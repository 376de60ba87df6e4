// SPDX-License-Identifier: GPL-2.0-or-later
// See blocking-calls.h. Threads own `Shared` together with the object; after the object is gone they finish
// what they are in and leave. One lock, Shared::lock; no call is made while it is held.
#include "migrationd/io/blocking-calls.h"

#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace migrationd::io {

namespace {

// The loop's half of a call. Owned by the loop (the timer's handler) alone: a thread that returns from a hung
// call after the loop is gone must not be the one to destroy a timer.
struct Waiting {
  explicit Waiting(boost::asio::io_context& loop) : deadline(loop) {}
  boost::asio::steady_timer deadline;
  std::function<void(const std::string&)> done;
  bool answered = false;
};

// The thread's half.
struct Call {
  std::string key;
  std::function<void()> work;
  std::weak_ptr<Waiting> waiting;
  enum class State { queued, running, given_up, finished } state = State::queued;  // under the lock
};

}  // namespace

struct BlockingCalls::Shared : std::enable_shared_from_this<Shared> {
  Shared(boost::asio::io_context& loop_, std::size_t workers_, std::size_t per_key_)
      : loop(loop_), workers(workers_), per_key(per_key_) {}

  boost::asio::io_context& loop;  // only used while `closed` is false
  const std::size_t workers;
  const std::size_t per_key;
  mutable std::mutex lock;
  std::deque<std::shared_ptr<Call>> queue;
  std::map<std::string, std::size_t> given_up;
  std::size_t working = 0;  // threads that count as workers
  std::size_t in_calls = 0;
  bool closed = false;

  void start_worker() {
    std::thread([shared = shared_from_this()] { shared->serve(); }).detach();
  }

  // A worker takes calls until there are none, then ends: idle threads aren't kept.
  void serve() {
    std::unique_lock held(lock);
    while (!closed && !queue.empty()) {
      std::shared_ptr<Call> call = queue.front();
      queue.pop_front();
      if (call->state != Call::State::queued) continue;
      call->state = Call::State::running;
      ++in_calls;
      held.unlock();
      call->work();
      call->work = nullptr;  // its captures (connection, domain) die here, off the loop
      held.lock();
      --in_calls;
      bool was_given_up = call->state == Call::State::given_up;
      call->state = Call::State::finished;
      if (was_given_up) {
        auto at = given_up.find(call->key);
        if (at != given_up.end() && --at->second == 0) given_up.erase(at);
        return;  // its place among the workers was taken by another
      }
      if (!closed)
        boost::asio::post(loop, [weak = call->waiting] {
          std::shared_ptr<Waiting> waiting = weak.lock();
          if (!waiting || std::exchange(waiting->answered, true)) return;
          waiting->deadline.cancel();
          waiting->done("");
        });
    }
    --working;
  }

  // On the loop.
  void expire(Call& call, Waiting& waiting, const std::string& failure) {
    if (std::exchange(waiting.answered, true)) return;
    {
      std::lock_guard held(lock);
      if (call.state == Call::State::running) {
        call.state = Call::State::given_up;
        ++given_up[call.key];
        // Its thread is no worker any more.
        if (queue.empty()) {
          --working;
        } else {
          start_worker();
        }
      } else if (call.state == Call::State::queued) {
        call.state = Call::State::finished;
      }
    }
    waiting.done(failure);
  }
};

BlockingCalls::BlockingCalls(boost::asio::io_context& loop, std::size_t workers, std::size_t given_up_per_key)
    : shared_(std::make_shared<Shared>(loop, workers, given_up_per_key)) {}

BlockingCalls::~BlockingCalls() {
  std::lock_guard held(shared_->lock);
  shared_->closed = true;
  shared_->queue.clear();
}

std::size_t BlockingCalls::busy() const {
  std::lock_guard held(shared_->lock);
  return shared_->in_calls;
}

void BlockingCalls::submit(const std::string& key, const std::string& what, Milliseconds deadline, std::function<void()> work,
                           std::function<void(const std::string&)> done) {
  std::lock_guard held(shared_->lock);
  auto stuck = shared_->given_up.find(key);
  if (stuck != shared_->given_up.end() && stuck->second >= shared_->per_key) {
    boost::asio::post(shared_->loop, [done = std::move(done), text = what + ": not tried, " + std::to_string(stuck->second) +
                                                                  " earlier calls for it still hang"] { done(text); });
    return;
  }
  auto waiting = std::make_shared<Waiting>(shared_->loop);
  waiting->done = std::move(done);
  auto call = std::make_shared<Call>();
  call->key = key;
  call->work = std::move(work);
  call->waiting = waiting;
  waiting->deadline.expires_after(deadline);
  waiting->deadline.async_wait([shared = std::weak_ptr<Shared>(shared_), call, waiting,
                                text = what + ": no answer within " + std::to_string(deadline.count()) +
                                       " ms; the call is given up"](boost::system::error_code error) {
    if (error) return;
    if (auto alive = shared.lock()) alive->expire(*call, *waiting, text);
  });
  shared_->queue.push_back(call);
  if (shared_->working < shared_->workers) {
    ++shared_->working;
    shared_->start_worker();
  }
}

}  // namespace migrationd::io
