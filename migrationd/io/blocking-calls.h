// SPDX-License-Identifier: GPL-2.0-or-later
// Runs blocking calls (libvirt, mostly) off the event loop, each with a deadline.
//
// A call into libvirt can't be interrupted. So at its deadline the caller gets an error and the call is given
// up: its thread stays in it until it returns by itself and is no longer counted among the workers, so that a
// hung call never keeps another domain's call waiting. A key (a domain's UUID) may have only a few calls given
// up at once; further ones fail at once with that reason, which bounds the threads that a hung QEMU can eat.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "migrationd/base/clock.h"
#include "migrationd/base/result.h"

namespace migrationd::io {

class BlockingCalls {
 public:
  /// `workers`: threads that work at once, given-up ones not counted.
  BlockingCalls(boost::asio::io_context& loop, std::size_t workers, std::size_t given_up_per_key = 3);
  /// Calls that still run are given up; their callbacks don't come.
  ~BlockingCalls();
  BlockingCalls(const BlockingCalls&) = delete;
  BlockingCalls& operator=(const BlockingCalls&) = delete;

  /// `work` runs on a thread and must own all it touches. `done` runs on the loop, exactly once, with what `work`
  /// returned or with an error "WHAT: no answer within ..." when `deadline` passed first.
  template <class T>
  void run(const std::string& key, const std::string& what, Milliseconds deadline, std::function<Result<T>()> work,
           std::function<void(Result<T>)> done) {
    auto answer = std::make_shared<std::unique_ptr<Result<T>>>();
    submit(key, what, deadline, [answer, work = std::move(work)] { *answer = std::make_unique<Result<T>>(work()); },
           [answer, done = std::move(done)](const std::string& failure) {
             if (failure.empty()) {
               done(std::move(**answer));
             } else {
               done(Result<T>(Error{failure}));
             }
           });
  }

  /// Calls in threads now, given-up ones among them; for tests and reports.
  std::size_t busy() const;

 private:
  struct Shared;
  void submit(const std::string& key, const std::string& what, Milliseconds deadline, std::function<void()> work,
              std::function<void(const std::string& failure)> done);
  std::shared_ptr<Shared> shared_;
};

}  // namespace migrationd::io
