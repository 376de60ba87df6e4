// SPDX-License-Identifier: GPL-2.0-or-later
// See journal-files.h. Whoever of worker and deadline comes first decides a write: `Fate` goes from pending to
// finished or to abandoned exactly once. A write that finished on disk but lost that race is undone.
#include "migrationd/io/journal-files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "migrationd/io/file.h"

namespace migrationd::io {

namespace {

constexpr const char* farewells_file = "farewells";


constexpr mode_t record_mode = 0600;

Result<Fd> open_journal(const std::string& state_dir) {
  Result<Fd> state = open_private_directory(state_dir);
  if (!state) return state;
  return open_private_directory(state_dir + "/journal");
}

std::string named(const DomainUuid& uuid) { return "the journal's record of domain " + uuid.str(); }

/// The bytes of a record; nothing when there is no such file.
Result<std::optional<std::string>> read_bytes(const Fd& directory, const std::string& file, const std::string& what) {
  Fd fd(::openat(directory.get(), file.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!fd && errno == ENOENT) return std::optional<std::string>();
  if (!fd) return Error{"can't open " + what + ": " + errno_text(errno)};
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) return Error{"can't examine " + what + ": " + errno_text(errno)};
  if (!S_ISREG(status.st_mode)) return Error{what + " is not a regular file"};
  Result<std::string> bytes = read_all(fd, journal_record_limit, what);
  if (!bytes) return Error{bytes.error()};
  return std::optional<std::string>(std::move(bytes.value()));
}

void undo(const Fd& directory, const DomainUuid& uuid, const std::optional<std::string>& previous) {
  Result<std::optional<std::string>> now = read_bytes(directory, uuid.str(), named(uuid));
  if (now && now.value() == previous) return;
  if (previous) {
    (void)write_whole(directory, uuid.str(), record_mode, *previous, Replace::yes, named(uuid));
  } else {
    ::unlinkat(directory.get(), uuid.str().c_str(), 0);
    ::fsync(directory.get());
  }
}

/// `finish`: called when the bytes are on disk; false takes the write back.
Outcome write_bytes(const std::string& state_dir, const DomainUuid& uuid, const std::string& bytes, const std::function<bool()>& finish) {
  Result<Fd> directory = open_journal(state_dir);
  if (!directory) return Error{directory.error()};
  Result<std::optional<std::string>> previous = read_bytes(directory.value(), uuid.str(), named(uuid));
  if (!previous) return Error{previous.error()};
  Outcome written = write_whole(directory.value(), uuid.str(), record_mode, bytes, Replace::yes, named(uuid));
  if (written && finish()) return written;
  undo(directory.value(), uuid, previous.value());
  if (!written) return written;
  return Error{"the write of " + named(uuid) + " came too late and was taken back"};
}

Result<Fd> open_lock(const std::string& state_dir) {
  Result<Fd> directory = open_private_directory(state_dir);
  if (!directory) return directory;
  Fd fd(::openat(directory.value().get(), "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) {
    return Error{"can't open the lock " + state_dir + "/lock: " + errno_text(errno) +
                 "; the daemon must be able to write to its state directory"};
  }
  return fd;
}

pid_t pid_in(const Fd& fd) {
  char text[32] = {};
  ssize_t got = ::pread(fd.get(), text, sizeof text - 1, 0);
  pid_t pid = 0;
  if (got > 0) std::from_chars(text, text + got, pid);
  return pid;
}

}  // namespace

// ---------------------------------------------------------------- the lock

Result<JournalLock> JournalLock::take(const std::string& state_dir) {
  Result<Fd> fd = open_lock(state_dir);
  if (!fd) return Error{fd.error()};
  if (::flock(fd.value().get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Error{"can't lock " + state_dir + "/lock: " + errno_text(errno)};
    pid_t pid = pid_in(fd.value());
    return Error{"the journal in " + state_dir + " is in use by another migrationd" +
                 (pid > 0 ? ", process " + std::to_string(pid) : std::string()) + "; only one may run on a node"};
  }
  std::string text = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd.value().get(), 0) != 0 || ::pwrite(fd.value().get(), text.data(), text.size(), 0) < 0) {
    // The number is for people only; a full disk must not keep the lock from being taken.
  }
  JournalLock lock;
  lock.fd_ = std::move(fd.value());
  return lock;
}

Result<pid_t> JournalLock::holder(const std::string& state_dir) {
  Fd fd(::open((state_dir + "/lock").c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd && errno == ENOENT) return pid_t{0};
  if (!fd) return Error{"can't open the lock " + state_dir + "/lock: " + errno_text(errno)};
  if (::flock(fd.get(), LOCK_SH | LOCK_NB) == 0) return pid_t{0};
  if (errno != EWOULDBLOCK) return Error{"can't examine the lock " + state_dir + "/lock: " + errno_text(errno)};
  pid_t pid = pid_in(fd);
  return pid > 0 ? pid : pid_t{1};
}

// ---------------------------------------------------------------- reading

Result<std::optional<StoredRecord>> load_record(const std::string& state_dir, const DomainUuid& uuid, const std::string& boot_id) {
  Result<Fd> directory = open_journal(state_dir);
  if (!directory) return Error{directory.error()};
  Result<std::optional<std::string>> bytes = read_bytes(directory.value(), uuid.str(), named(uuid));
  if (!bytes) return Error{bytes.error()};
  if (!bytes.value()) return std::optional<StoredRecord>();
  Result<StoredRecord> record = decode_record(*bytes.value(), boot_id);
  if (!record) return Error{named(uuid) + " " + record.error()};
  if (record.value().record.uuid != uuid) return Error{named(uuid) + " is another domain's (" + record.value().record.uuid.str() + ")"};
  return std::optional<StoredRecord>(std::move(record.value()));
}

Result<LoadedJournal> load_journal(const std::string& state_dir, const std::string& boot_id) {
  Result<Fd> directory = open_journal(state_dir);
  if (!directory) return Error{directory.error()};
  std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(::fcntl(directory.value().get(), F_DUPFD_CLOEXEC, 3)), ::closedir);
  if (!list) return Error{"can't list " + state_dir + "/journal: " + errno_text(errno)};
  ::rewinddir(list.get());
  LoadedJournal loaded;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(list.get());
    if (entry == nullptr) {
      if (errno != 0) return Error{"can't list " + state_dir + "/journal: " + errno_text(errno)};
      return loaded;
    }
    std::string file = entry->d_name;
    if (file[0] == '.') continue;  // ".", ".." and what a crash left of a write
    std::optional<DomainUuid> uuid = DomainUuid::parse(file);
    if (!uuid || uuid->str() != file) {
      loaded.refused.push_back({file, {}, "is not named by a domain's UUID"});
      continue;
    }
    Result<std::optional<StoredRecord>> record = load_record(state_dir, *uuid, boot_id);
    if (!record) {
      loaded.refused.push_back({file, *uuid, record.error()});
    } else if (record.value()) {
      loaded.records.push_back(std::move(*record.value()));
    }
  }
}

Outcome store_record(const std::string& state_dir, const engine::Record& record, const std::string& boot_id) {
  Result<std::string> bytes = encode_record(record, boot_id);
  if (!bytes) return Error{bytes.error()};
  return write_bytes(state_dir, record.uuid, bytes.value(), [] { return true; });
}

// ---------------------------------------------------------------- writing

enum class Fate { pending, finished, abandoned };

struct JournalFiles::Worker {
  struct Job {
    std::function<Outcome(const std::function<bool()>&)> work;
    std::shared_ptr<std::atomic<Fate>> fate;
    std::function<void(Outcome)> report;  // any thread
  };
  std::mutex lock;
  std::condition_variable changed;
  std::deque<Job> queue;
  bool closed = false;

  void serve() {
    std::unique_lock held(lock);
    for (;;) {
      changed.wait(held, [this] { return closed || !queue.empty(); });
      if (queue.empty()) return;  // closed: what was ordered is written first
      Job job = std::move(queue.front());
      queue.pop_front();
      held.unlock();
      auto fate = job.fate;
      auto finish = [fate] {
        Fate pending = Fate::pending;
        return fate->compare_exchange_strong(pending, Fate::finished);
      };
      if (fate->load() == Fate::pending) {
        Outcome outcome = job.work(finish);
        finish();  // a failed write, too, is decided
        job.report(std::move(outcome));
      }
      held.lock();
    }
  }
};

JournalFiles::JournalFiles(boost::asio::io_context& loop, std::string state_dir, std::string boot_id, Milliseconds limit)
    : loop_(loop), state_dir_(std::move(state_dir)), boot_id_(std::move(boot_id)), limit_(limit), worker_(std::make_shared<Worker>()) {
  std::thread([worker = worker_] { worker->serve(); }).detach();
}

JournalFiles::~JournalFiles() {
  std::lock_guard held(worker_->lock);
  worker_->closed = true;
  for (Worker::Job& job : worker_->queue) job.report = [](Outcome) {};
  worker_->changed.notify_all();
}

void JournalFiles::submit(std::function<Outcome(const std::function<bool()>&)> job, const std::string& what, engine::Callback<Outcome> done) {
  struct Waiting {
    explicit Waiting(boost::asio::io_context& loop) : deadline(loop) {}
    boost::asio::steady_timer deadline;
    engine::Callback<Outcome> done;
  };
  auto fate = std::make_shared<std::atomic<Fate>>(Fate::pending);
  auto waiting = std::make_shared<Waiting>(loop_);
  waiting->done = std::move(done);
  waiting->deadline.expires_after(limit_);
  waiting->deadline.async_wait([waiting, fate, text = what + ": the disk did not answer within " + std::to_string(limit_.count()) +
                                                  " ms; it was left as it was"](boost::system::error_code error) {
    Fate pending = Fate::pending;
    if (error || !fate->compare_exchange_strong(pending, Fate::abandoned)) return;
    std::exchange(waiting->done, {})(Error{text});
  });
  Worker::Job entry;
  entry.work = std::move(job);
  entry.fate = fate;
  // Held weakly: the timer belongs to the loop, not to the worker's thread.
  entry.report = [&loop = loop_, weak = std::weak_ptr<Waiting>(waiting), worker = std::weak_ptr<Worker>(worker_)](Outcome outcome) {
    auto alive = worker.lock();
    if (!alive) return;
    std::lock_guard held(alive->lock);
    if (alive->closed) return;
    boost::asio::post(loop, [weak, outcome = std::move(outcome)] {
      auto waiting = weak.lock();
      if (!waiting || !waiting->done) return;
      waiting->deadline.cancel();
      std::exchange(waiting->done, {})(outcome);
    });
  };
  std::lock_guard held(worker_->lock);
  worker_->queue.push_back(std::move(entry));
  worker_->changed.notify_one();
}

void JournalFiles::write(const engine::Record& record, engine::Callback<Outcome> done) {
  submit(
      [record, state_dir = state_dir_, boot_id = boot_id_](const std::function<bool()>& finish) -> Outcome {
        Result<std::string> bytes = encode_record(record, boot_id);
        if (!bytes) return Error{bytes.error()};
        return write_bytes(state_dir, record.uuid, bytes.value(), finish);
      },
      "write " + named(record.uuid), std::move(done));
}

void JournalFiles::write_farewells(const std::set<NodeName>& nodes) {
  std::string text = boot_id_ + "\n";
  for (const NodeName& node : nodes) text += node + "\n";
  submit(
      [text, state_dir = state_dir_](const std::function<bool()>&) -> Outcome {
        Result<Fd> directory = open_private_directory(state_dir);
        if (!directory) return Error{directory.error()};
        Outcome written = write_whole(directory.value(), farewells_file, 0600, text, Replace::yes, state_dir + "/" + farewells_file);
        // The old file may name a node that is back: better none. This works on a full disk, too.
        if (!written && ::unlinkat(directory.value().get(), farewells_file, 0) == 0) ::fsync(directory.value().get());
        return written;
      },
      "write the farewells", [](Outcome) {});
}

std::set<NodeName> load_farewells(const std::string& state_dir, const std::string& boot_id) {
  Result<Fd> directory = open_private_directory(state_dir);
  if (!directory) return {};
  const Fd file(::openat(directory.value().get(), farewells_file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return {};
  const Result<std::string> text = read_all(file, 1024 * 1024, farewells_file);
  if (!text) return {};
  if (!text.value().starts_with(boot_id + "\n")) return {};
  std::set<NodeName> nodes;
  std::size_t begin = boot_id.size() + 1;
  for (std::size_t end; (end = text.value().find('\n', begin)) != std::string::npos; begin = end + 1) {
    nodes.insert(text.value().substr(begin, end - begin));
  }
  return nodes;
}

void JournalFiles::remove(const DomainUuid& uuid, engine::Callback<Outcome> done) {
  submit(
      [uuid, state_dir = state_dir_](const std::function<bool()>&) -> Outcome {
        Result<Fd> directory = open_journal(state_dir);
        if (!directory) return Error{directory.error()};
        if (::unlinkat(directory.value().get(), uuid.str().c_str(), 0) != 0 && errno != ENOENT)
          return Error{"can't remove " + named(uuid) + ": " + errno_text(errno)};
        if (::fsync(directory.value().get()) != 0) return Error{"can't remove " + named(uuid) + " for good: " + errno_text(errno)};
        return Done{};
      },
      "remove " + named(uuid), std::move(done));
}

}  // namespace migrationd::io
