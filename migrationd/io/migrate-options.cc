// SPDX-License-Identifier: GPL-2.0-or-later
// See migrate-options.h.
#include "migrationd/io/migrate-options.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include <libvirt/libvirt.h>

namespace migrationd::io {

namespace {

enum class Kind { flag, number, text, list, implied, refused };

struct Word {
  const char* word;
  Kind kind;
  unsigned flag = 0;
  const char* field = "";
  const char* why = "";
};

const Word words[] = {
    {"auto-converge", Kind::flag, VIR_MIGRATE_AUTO_CONVERGE},
    {"auto-converge-initial", Kind::number, 0, VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL},
    {"auto-converge-increment", Kind::number, 0, VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT},
    {"unsafe", Kind::flag, VIR_MIGRATE_UNSAFE},
    {"abort-on-error", Kind::flag, VIR_MIGRATE_ABORT_ON_ERROR},
    {"compressed", Kind::flag, VIR_MIGRATE_COMPRESSED},
    {"comp-methods", Kind::list, 0, VIR_MIGRATE_PARAM_COMPRESSION},
    {"comp-mt-level", Kind::number, 0, VIR_MIGRATE_PARAM_COMPRESSION_MT_LEVEL},
    {"comp-mt-threads", Kind::number, 0, VIR_MIGRATE_PARAM_COMPRESSION_MT_THREADS},
    {"comp-mt-dthreads", Kind::number, 0, VIR_MIGRATE_PARAM_COMPRESSION_MT_DTHREADS},
    {"parallel", Kind::flag, VIR_MIGRATE_PARALLEL},
    {"parallel-connections", Kind::number, 0, VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS},
    {"rdma-pin-all", Kind::flag, VIR_MIGRATE_RDMA_PIN_ALL},
    {"tls", Kind::flag, VIR_MIGRATE_TLS},
    {"tls-destination", Kind::text, 0, VIR_MIGRATE_PARAM_TLS_DESTINATION},
    {"tunnelled", Kind::flag, VIR_MIGRATE_TUNNELLED},
    {"copy-storage-all", Kind::flag, VIR_MIGRATE_NON_SHARED_DISK},
    {"copy-storage-inc", Kind::flag, VIR_MIGRATE_NON_SHARED_INC},
    {"copy-storage-synchronous-writes", Kind::flag, VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES},
    {"migrate-disks", Kind::list, 0, VIR_MIGRATE_PARAM_MIGRATE_DISKS},
    {"disks-port", Kind::number, 0, VIR_MIGRATE_PARAM_DISKS_PORT},
    {"disks-uri", Kind::text, 0, VIR_MIGRATE_PARAM_DISKS_URI},
    {"listen-address", Kind::text, 0, VIR_MIGRATE_PARAM_LISTEN_ADDRESS},
    {"live", Kind::implied},
    {"p2p", Kind::implied},
    {"peer2peer", Kind::implied},
    {"verbose", Kind::implied},
    {"undefinesource", Kind::flag, VIR_MIGRATE_UNDEFINE_SOURCE},
    {"persistent", Kind::refused, 0, "", "a migration leaves no definitions behind; where one is wanted, virsh define makes it"},
    {"direct", Kind::refused, 0, "", "migrations are peer-to-peer"},
    {"offline", Kind::refused, 0, "", "only running domains are migrated"},
    {"suspend", Kind::refused, 0, "", "whether the copy runs is decided by the hand-off"},
    {"change-protection", Kind::refused, 0, "", "it is always on for peer-to-peer migrations"},
    {"postcopy", Kind::refused, 0, "", "post-copy is decided by the daemon, where the parameter postcopy=yes consents"},
    {"postcopy-after-precopy", Kind::refused, 0, "", "post-copy is decided by the daemon, where the parameter postcopy=yes consents"},
    {"timeout", Kind::refused, 0, "", "the action's own time bounds the migration"},
    {"timeout-suspend", Kind::refused, 0, "", "the action's own time bounds the migration"},
    {"timeout-postcopy", Kind::refused, 0, "", "the action's own time bounds the migration"},
    {"bandwidth", Kind::refused, 0, "", "use the parameter migration_speed"},
    {"xml", Kind::refused, 0, "", "the daemon gives the destination's definition"},
    {"dname", Kind::refused, 0, "", "a domain keeps its name"},
    {"migrateuri", Kind::refused, 0, "", "use the parameter migrateuri"},
    {"graphicsuri", Kind::text, 0, VIR_MIGRATE_PARAM_GRAPHICS_URI},
};

}  // namespace

Result<MigrateOptions> parse_migrate_options(const std::string& text) {
  MigrateOptions options;
  std::istringstream in(text);
  for (std::string token; in >> token;) {
    auto fail = [&](const std::string& why) -> Error { return {"migrate_options: " + token + ": " + why}; };
    if (token.rfind("--", 0) != 0) return fail("not a word of virsh migrate (they begin with --)");
    std::string name = token.substr(2), value;
    std::size_t equals = name.find('=');
    bool has_value = equals != std::string::npos;
    if (has_value) {
      value = name.substr(equals + 1);
      name.resize(equals);
    }
    const Word* known = nullptr;
    for (const Word& word : words)
      if (name == word.word) known = &word;
    if (known == nullptr) return fail("migrationd does not know this option; remove it");
    if (known->kind == Kind::refused) return fail(known->why);
    if (known->kind == Kind::flag || known->kind == Kind::implied) {
      if (has_value) return fail("takes no value");
      options.flags |= known->flag;
      continue;
    }
    if (!has_value && !(in >> value)) return fail("needs a value");
    if (value.empty()) return fail("needs a value");
    if (known->kind == Kind::number) {
      int number = 0;
      auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
      if (error != std::errc{} || end != value.data() + value.size() || number < 0) return fail("\"" + value + "\" is no number");
      options.parameters.push_back({known->field, number});
    } else if (known->kind == Kind::text) {
      options.parameters.push_back({known->field, value});
    } else {
      std::istringstream items(value);
      for (std::string item; std::getline(items, item, ',');) options.parameters.push_back({known->field, item});
    }
  }
  return options;
}

void allow_throttling(MigrateOptions& options, int first, int step) {
  const bool named = (options.flags & VIR_MIGRATE_AUTO_CONVERGE) != 0 ||
                     std::any_of(options.parameters.begin(), options.parameters.end(), [](const MigrateParameter& one) {
                       return one.field == VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL || one.field == VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT;
                     });
  if (!named && first <= 0) return;
  options.flags |= VIR_MIGRATE_AUTO_CONVERGE;
  if (named) return;
  options.parameters.push_back({VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL, first});
  options.parameters.push_back({VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT, step});
}

}  // namespace migrationd::io
