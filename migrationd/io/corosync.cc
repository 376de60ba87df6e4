// SPDX-License-Identifier: GPL-2.0-or-later
// The thread that speaks with Corosync's cmap, quorum and cpg services.
#include "migrationd/io/corosync.h"

#include <poll.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include <boost/asio/post.hpp>
#include <corosync/cmap.h>
#include <corosync/cpg.h>
#include <corosync/quorum.h>

namespace migrationd::io {

namespace {

/// How often Pacemaker's controllers are looked at, and a lost Corosync is tried again.
constexpr int look_every_ms = 500;
/// The process group that Pacemaker's controllers join.
constexpr const char* controller_group = "crmd";

class Cmap {
 public:
  Cmap() : open_(cmap_initialize(&handle_) == CS_OK) {}
  ~Cmap() {
    if (open_) cmap_finalize(handle_);
  }
  Cmap(const Cmap&) = delete;
  Cmap& operator=(const Cmap&) = delete;
  explicit operator bool() const { return open_; }

  std::vector<CorosyncNode> nodes() {
    std::map<std::string, CorosyncNode> by_index;
    cmap_iter_handle_t iterator;
    if (cmap_iter_init(handle_, "nodelist.node.", &iterator) != CS_OK) return {};
    char key[CMAP_KEYNAME_MAXLEN + 1];
    size_t length = 0;
    cmap_value_types_t type;
    while (cmap_iter_next(handle_, iterator, key, &length, &type) == CS_OK) {
      const std::string rest = std::string(key).substr(std::strlen("nodelist.node."));
      const auto dot = rest.find('.');
      if (dot == std::string::npos) continue;
      CorosyncNode& node = by_index[rest.substr(0, dot)];
      const std::string field = rest.substr(dot + 1);
      if (field == "nodeid") cmap_get_uint32(handle_, key, &node.id);
      if (field == "name") node.name = text(key);
      if (field.starts_with("ring") && field.ends_with("_addr")) node.addresses.push_back(text(key));
    }
    cmap_iter_finalize(handle_, iterator);
    std::vector<CorosyncNode> nodes;
    for (auto& [index, node] : by_index) {
      if (node.name.empty() && !node.addresses.empty()) node.name = node.addresses.front();
      if (!node.name.empty()) nodes.push_back(std::move(node));
    }
    return nodes;
  }

 private:
  std::string text(const char* key) {
    char* value = nullptr;
    if (cmap_get_string(handle_, key, &value) != CS_OK) return {};
    std::string copy(value);
    std::free(value);
    return copy;
  }
  cmap_handle_t handle_{};
  bool open_;
};

class Quorum {
 public:
  Quorum() {
    quorum_callbacks_t callbacks{};
    callbacks.quorum_notify_fn = &Quorum::notified;
    std::uint32_t type = 0;
    open_ = quorum_initialize(&handle_, &callbacks, &type) == CS_OK;
    if (!open_) return;
    quorum_context_set(handle_, this);
    if (quorum_trackstart(handle_, CS_TRACK_CHANGES | CS_TRACK_CURRENT) != CS_OK || quorum_fd_get(handle_, &fd_) != CS_OK) {
      quorum_finalize(handle_);
      open_ = false;
    }
  }
  ~Quorum() {
    if (open_) quorum_finalize(handle_);
  }
  Quorum(const Quorum&) = delete;
  Quorum& operator=(const Quorum&) = delete;
  explicit operator bool() const { return open_; }

  /// Waits for news; false when Corosync is gone.
  bool wait(int milliseconds) {
    pollfd waiting{fd_, POLLIN, 0};
    if (poll(&waiting, 1, milliseconds) > 0) return quorum_dispatch(handle_, CS_DISPATCH_ALL) == CS_OK;
    return true;
  }
  bool quorate() const { return quorate_; }
  const std::set<std::uint32_t>& members() const { return members_; }

 private:
  static void notified(quorum_handle_t handle, std::uint32_t quorate, std::uint64_t, std::uint32_t count,
                       std::uint32_t* list) {
    const void* context = nullptr;
    if (quorum_context_get(handle, &context) != CS_OK) return;
    auto* self = static_cast<Quorum*>(const_cast<void*>(context));
    self->quorate_ = quorate != 0;
    self->members_ = std::set<std::uint32_t>(list, list + count);
  }
  quorum_handle_t handle_{};
  bool open_ = false;
  int fd_ = -1;
  bool quorate_ = false;
  std::set<std::uint32_t> members_;
};

class Cpg {
 public:
  Cpg() {
    cpg_callbacks_t callbacks{};
    open_ = cpg_initialize(&handle_, &callbacks) == CS_OK;
  }
  ~Cpg() {
    if (open_) cpg_finalize(handle_);
  }
  Cpg(const Cpg&) = delete;
  Cpg& operator=(const Cpg&) = delete;
  explicit operator bool() const { return open_; }

  std::uint32_t self() {
    unsigned int id = 0;
    return cpg_local_get(handle_, &id) == CS_OK ? id : 0;
  }
  std::set<std::uint32_t> joined(const char* group) {
    cpg_iteration_handle_t iterator;
    std::set<std::uint32_t> nodes;
    if (cpg_iteration_initialize(handle_, CPG_ITERATION_ALL, nullptr, &iterator) != CS_OK) return nodes;
    cpg_iteration_description_t one;
    while (cpg_iteration_next(iterator, &one) == CS_OK) {
      // Pacemaker counts the closing zero into the name's length, others don't.
      const std::string name(one.group.value, strnlen(one.group.value, one.group.length));
      if (name == group) nodes.insert(one.nodeid);
    }
    cpg_iteration_finalize(iterator);
    return nodes;
  }

 private:
  cpg_handle_t handle_{};
  bool open_ = false;
};

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

}  // namespace

const CorosyncNode* CorosyncView::find(const NodeName& name) const {
  const auto found = std::find_if(nodes.begin(), nodes.end(), [&](const auto& node) { return node.name == name; });
  return found == nodes.end() ? nullptr : &*found;
}

bool CorosyncView::member(const NodeName& name) const {
  const CorosyncNode* node = find(name);
  return node != nullptr && members.contains(node->id);
}

bool CorosyncView::controller(const NodeName& name) const {
  const CorosyncNode* node = find(name);
  return node != nullptr && controllers.contains(node->id);
}

Result<std::vector<CorosyncNode>> parse_corosync_conf(const std::string& text) {
  std::vector<CorosyncNode> nodes;
  std::vector<std::string> sections;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    line = trimmed(line);
    if (line.empty() || line.front() == '#') continue;
    if (line.back() == '{') {
      sections.push_back(trimmed(line.substr(0, line.size() - 1)));
      if (sections == std::vector<std::string>{"nodelist", "node"}) nodes.emplace_back();
      continue;
    }
    if (line == "}") {
      if (sections.empty()) return Error{"line " + std::to_string(number) + ": a '}' without its '{'"};
      sections.pop_back();
      continue;
    }
    const auto colon = line.find(':');
    if (colon == std::string::npos) return Error{"line " + std::to_string(number) + ": neither 'name: value' nor a section"};
    if (sections != std::vector<std::string>{"nodelist", "node"}) continue;
    const std::string name = trimmed(line.substr(0, colon));
    const std::string value = trimmed(line.substr(colon + 1));
    if (name == "name") nodes.back().name = value;
    if (name == "nodeid") nodes.back().id = static_cast<std::uint32_t>(std::strtoul(value.c_str(), nullptr, 10));
    if (name.starts_with("ring") && name.ends_with("_addr")) nodes.back().addresses.push_back(value);
  }
  if (!sections.empty()) return Error{"the section '" + sections.back() + "' is not closed"};
  if (nodes.empty()) return Error{"it has no nodelist"};
  for (CorosyncNode& node : nodes) {
    if (node.addresses.empty()) return Error{"the node '" + node.name + "' has no ring0_addr"};
    if (node.name.empty()) node.name = node.addresses.front();
  }
  return nodes;
}

CorosyncView view_of_file(const std::string& conf_path) {
  CorosyncView view;
  std::ifstream file(conf_path);
  std::stringstream text;
  if (!file || !(text << file.rdbuf())) {
    view.trouble = conf_path + " can't be read: " + std::strerror(errno);
    return view;
  }
  Result<std::vector<CorosyncNode>> nodes = parse_corosync_conf(text.str());
  if (nodes.ok()) {
    view.nodes = std::move(nodes.value());
  } else {
    view.trouble = conf_path + ": " + nodes.error();
  }
  return view;
}

struct Corosync::Thread : std::enable_shared_from_this<Corosync::Thread> {
  Thread(boost::asio::io_context& loop, std::string conf_path, std::function<void(const CorosyncView&)> changed)
      : loop(loop), conf_path(std::move(conf_path)), changed(std::move(changed)) {}

  boost::asio::io_context& loop;
  std::string conf_path;
  std::function<void(const CorosyncView&)> changed;
  std::atomic<bool> stop{false};
  std::thread thread;
  CorosyncView last;
  bool told = false;

  void tell(CorosyncView view) {
    if (told && view == last) return;
    told = true;
    last = view;
    boost::asio::post(loop, [self = shared_from_this(), view = std::move(view)] {
      if (!self->stop) self->changed(view);
    });
  }

  void run() {
    while (!stop) {
      while_connected();
      if (stop) return;
      CorosyncView view = view_of_file(conf_path);
      if (!last.nodes.empty() && view.nodes.empty()) view.nodes = last.nodes;
      view.self = last.self;
      tell(std::move(view));
      for (int waited = 0; waited < look_every_ms && !stop; waited += 100) poll(nullptr, 0, 100);
    }
  }

  void while_connected() {
    Cmap cmap;
    Cpg cpg;
    Quorum quorum;
    if (!cmap || !cpg || !quorum) return;
    while (!stop) {
      if (!quorum.wait(look_every_ms)) return;
      CorosyncView view;
      view.self = cpg.self();
      if (view.self == 0) return;
      view.connected = true;
      view.quorate = quorum.quorate();
      view.nodes = cmap.nodes();
      view.members = quorum.members();
      view.controllers = cpg.joined(controller_group);
      tell(std::move(view));
    }
  }
};

Corosync::Corosync(boost::asio::io_context& loop, std::string conf_path,
                   std::function<void(const CorosyncView&)> changed)
    : thread_(std::make_shared<Thread>(loop, std::move(conf_path), std::move(changed))) {
  thread_->thread = std::thread([thread = thread_] { thread->run(); });
}

Corosync::~Corosync() {
  thread_->stop = true;
  thread_->thread.join();
}

}  // namespace migrationd::io
