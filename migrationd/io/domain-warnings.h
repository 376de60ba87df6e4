// SPDX-License-Identifier: GPL-2.0-or-later
// What an administrator must know of the domains that the cluster manages here, before it bites: libvirt's autostart and
// managed saves could start one behind the cluster's back or from an old state. Looked at every minute and whenever
// somebody asks for the status; each is logged once, as long as it stands.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "migrationd/engine/engine.h"

namespace migrationd::io {

class DomainWarnings {
 public:
  /// What of these domains is to be warned of, each a sentence.
  using Ask = std::function<void(const std::set<DomainUuid>&, engine::Callback<Result<std::vector<std::string>>>)>;

  DomainWarnings(engine::World& world, const engine::Engine& engine, Ask ask);
  ~DomainWarnings();
  DomainWarnings(const DomainWarnings&) = delete;
  DomainWarnings& operator=(const DomainWarnings&) = delete;

  /// Looks now and then from now on.
  void begin();
  /// Looks now; `known` is of now when `done` is called, or as before when the hypervisor does not answer.
  void look(std::function<void()> done);
  const std::vector<std::string>& known() const { return known_; }

 private:
  engine::World& world_;
  const engine::Engine& engine_;
  Ask ask_;
  std::vector<std::string> known_;
  bool answered_ = false;  ///< the last time
  engine::TimerId timer_ = 0;
  std::shared_ptr<int> life_ = std::make_shared<int>(0);
};

}  // namespace migrationd::io
