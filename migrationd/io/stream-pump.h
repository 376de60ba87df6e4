// SPDX-License-Identifier: GPL-2.0-or-later
// Carries one stream between a local socket and another daemon, in a thread of its own: a guest's memory would
// else hold up the event loop. Nothing is read that the other side does not take (back-pressure); each direction ends by
// itself (half-close), and the pump when both have ended, when something breaks, or when it is told to.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "migrationd/base/result.h"
#include "migrationd/io/fd.h"
#include "migrationd/io/secure-stream.h"

namespace migrationd::io {

/// Looks at all that passes, and passes on what may. Called in the pump's thread. An error ends the stream.
class StreamGuard {
 public:
  virtual ~StreamGuard() = default;
  /// Appends to `out` what may pass of what came from the other node.
  virtual Outcome from_remote(std::string_view bytes, std::string& out) = 0;
  virtual Outcome from_local(std::string_view bytes, std::string& out) = 0;
  /// Readable when the pump is told to end: a guard that waits for something gives up then.
  void stopped_by(int fd) { stop_ = fd; }

 protected:
  int stop_ = -1;
};

class StreamPump {
 public:
  struct Ends {
    Fd local;             ///< a connected stream socket
    SecureStream remote;
    /// The side that dialed says with one byte that it is ready, before which the other sends nothing: what the other side sends
    /// may come with the last word of the set-up otherwise, and be lost with it.
    bool dialed = false;
    std::unique_ptr<StreamGuard> guard;  ///< null: all may pass
    bool prompt = false;  ///< little may wait here: in post-copy a page that the guest stands still for comes after all that does
  };
  /// `done`: why it ended, empty when both sides ended it in order. Called once, in the pump's thread, as its last deed.
  /// Throws std::system_error when the system has no thread or descriptor left; `done` is not called then.
  StreamPump(Ends ends, std::function<void(std::string why)> done);
  /// As stop(); returns when the thread has ended.
  ~StreamPump();
  StreamPump(const StreamPump&) = delete;
  StreamPump& operator=(const StreamPump&) = delete;

  /// Ends it soon; what is under way is lost.
  void stop();

 private:
  Fd stop_;  ///< an eventfd
  std::thread thread_;
};

}  // namespace migrationd::io
