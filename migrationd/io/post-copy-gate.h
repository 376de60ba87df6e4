// SPDX-License-Identifier: GPL-2.0-or-later
// Where a stream's thread waits, in libvirt's Finish of a migration that may be in post-copy, for the loop's word whether the copy may
// execute while it is still being filled. Whoever hears nothing in time lets it come paused: that costs time, and nothing else.
#pragma once

#include <mutex>

#include "migrationd/base/clock.h"
#include "migrationd/io/fd.h"

namespace migrationd::io {

class PostCopyGate {
 public:
  /// Each word stands above the ones before it.
  enum class Word {
    none,
    ordered,   ///< source: the switch is ordered, or not known not to be
    switched,  ///< source: libvirt has switched
    run,       ///< source: the domain was given; destination: it is held, on disk
  };
  PostCopyGate();
  void say(Word word);  ///< any thread
  Word said() const;
  /// Whether `word` or one above it was said within `limit`; `stop` becoming readable ends the wait.
  bool wait(Word word, Milliseconds limit, int stop);

 private:
  mutable std::mutex lock_;
  Word word_ = Word::none;
  Fd changed_;  ///< an eventfd
};

}  // namespace migrationd::io
