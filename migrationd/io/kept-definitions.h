// SPDX-License-Identifier: GPL-2.0-or-later
// engine::Definitions in files: STATE_DIR/definitions/UUID.xml, 0600, written beside and renamed. Such a file is a domain's
// definition, which virsh would take, behind two comments:
//
//     <!-- migrationd-definition 1 SHA256 -->           of all that follows
//     <!-- {"name": ..., "resource": ..., ...} -->      engine::KeptDefinition without its XML
//     <domain>...
//
// No name of anybody becomes a part of a path. A definition may have secrets in it (a console's password): the files are
// root's alone, and go to other nodes only over the daemons' own links.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "migrationd/engine/world.h"
#include "migrationd/io/blocking-calls.h"

namespace migrationd::io {

/// Whether nothing at all has that path, not even a broken link.
bool no_such_file(const std::string& path);

/// A file's content, and back. Errors: not such a file, of a newer version, changed since it was written, broken.
std::string encode_definition(const engine::KeptDefinition& definition);
Result<engine::KeptDefinition> decode_definition(std::string_view content);

/// Whether the XML is of that domain, by UUID and name, and as the digest says.
Outcome examine_definition(const engine::KeptDefinition& definition);

struct LoadedDefinitions {
  std::vector<engine::KeptDefinition> kept;
  std::vector<std::string> refused;  ///< files that can't be used, each with the reason
};
/// All of them.
LoadedDefinitions load_definitions(const std::string& state_dir);

/// The one that is kept for a resource whose parameter `config` is that path, if that file is not there. Nothing: none is, or they
/// can't be read, or the file is there, whatever it is.
std::optional<engine::KeptDefinition> kept_instead_of(const std::string& state_dir, const std::string& resource, const std::string& config);

class KeptDefinitions : public engine::Definitions {
 public:
  KeptDefinitions(boost::asio::io_context& loop, std::string state_dir);

  void read_config(const std::string& file, engine::Callback<Result<std::optional<engine::Definition>>> done) override;
  Outcome examine(const engine::KeptDefinition& definition) const override { return examine_definition(definition); }
  std::string digest(const std::string& xml) const override;
  void keep_definition(const engine::KeptDefinition& definition, engine::Callback<Outcome> done) override;
  void remove_definition(const DomainUuid& uuid, engine::Callback<Outcome> done) override;

 private:
  std::string state_dir_;
  BlockingCalls writes_;  // one at a time, so that they come in order
  BlockingCalls reads_;   // of storage that may hang
};

}  // namespace migrationd::io
