// SPDX-License-Identifier: GPL-2.0-or-later
// engine::Journal in files: STATE_DIR/journal/UUID, one per domain, written beside and renamed, file and directory
// fsynced before the answer. Writes go through one thread, so they come in order; their answers come on the loop.
//
// A write that hangs (a dead disk) is answered with an error at its deadline; it is then abandoned before its
// rename, so that the step which was told "not journalled" isn't found on disk later.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "migrationd/engine/world.h"
#include "migrationd/io/fd.h"
#include "migrationd/io/journal-record.h"

namespace migrationd::io {

/// The lock against a second daemon, and against `--direct` while a daemon lives: flock on STATE_DIR/lock.
class JournalLock {
 public:
  /// Error: held by another (its process number is in the text), or the directory can't be used.
  static Result<JournalLock> take(const std::string& state_dir);
  /// Whether somebody holds it now: the process number, 0 when nobody does. Error: it can't be told.
  static Result<pid_t> holder(const std::string& state_dir);

 private:
  Fd fd_;
};

struct RefusedRecord {
  std::string file;   ///< its name in the journal's directory
  DomainUuid uuid;    ///< by the file's name; empty when that is none
  std::string why;
};

struct LoadedJournal {
  std::vector<StoredRecord> records;
  /// Left untouched on disk. Their domains are unknown, never absent: no boot and no "gone" for them.
  std::vector<RefusedRecord> refused;
};

/// Reads all records. Error: the directory can't be read at all. Blocks; for the daemon's start and `--direct`.
Result<LoadedJournal> load_journal(const std::string& state_dir, const std::string& boot_id);
/// The nodes that had said farewell: STATE_DIR/farewells, the boot id and then a node a line. None from another boot:
/// we may have been fenced meanwhile, and then they may have started anything without asking us. None, too, when the
/// file can't be read: then a fencing or the node's own word is needed instead.
std::set<NodeName> load_farewells(const std::string& state_dir, const std::string& boot_id);
/// One domain's record: nothing when it has none. Error: unreadable or refused.
Result<std::optional<StoredRecord>> load_record(const std::string& state_dir, const DomainUuid& uuid, const std::string& boot_id);
/// Writes one record and blocks until it is on disk; for `--direct`, with the lock held.
Outcome store_record(const std::string& state_dir, const engine::Record& record, const std::string& boot_id);

class JournalFiles : public engine::Journal {
 public:
  /// `limit`: the deadline of a write.
  JournalFiles(boost::asio::io_context& loop, std::string state_dir, std::string boot_id, Milliseconds limit = Milliseconds{10000});
  ~JournalFiles() override;

  void write(const engine::Record& record, engine::Callback<Outcome> done) override;
  void write_farewells(const std::set<NodeName>& nodes) override;
  /// Removes the record (migrationctl forget), also a refused one.
  void remove(const DomainUuid& uuid, engine::Callback<Outcome> done);

 private:
  struct Worker;
  void submit(std::function<Outcome(const std::function<bool()>& abandoned)> job, const std::string& what,
              engine::Callback<Outcome> done);
  boost::asio::io_context& loop_;
  std::string state_dir_;
  std::string boot_id_;
  Milliseconds limit_;
  std::shared_ptr<Worker> worker_;
};

}  // namespace migrationd::io
