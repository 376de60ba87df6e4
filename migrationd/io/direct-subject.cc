// SPDX-License-Identifier: GPL-2.0-or-later
// See direct-subject.h.
#include "migrationd/io/direct-subject.h"

#include <cerrno>
#include <fstream>

#include "migrationd/io/boot-clock.h"
#include "migrationd/io/journal-files.h"
#include "migrationd/io/kept-definitions.h"

namespace migrationd::io {

using handoff::Here;
using wire::OcfCode;

namespace {

/// The record of the resource by its name, when its configuration can't be read.
std::optional<StoredRecord> record_of_resource(const std::string& resource, const DirectPlaces& places, const std::string& boot) {
  if (resource.empty()) return {};
  Result<LoadedJournal> journal = load_journal(places.state_dir, boot);
  if (!journal) return {};
  for (StoredRecord& record : journal.value().records)
    if (record.record.resource == resource) return record;
  return {};
}

/// That no domain runs whose record can't be read, which could be the one that is meant.
Outcome nothing_else_runs(const DirectPlaces& places, const std::string& boot, const std::string& uri, Milliseconds limit) {
  Result<LoadedJournal> journal = load_journal(places.state_dir, boot);
  if (!journal) return Error{"can't tell: " + journal.error()};
  for (const RefusedRecord& refused : journal.value().refused)
    if (refused.uuid != DomainUuid{} && look_directly({refused.uuid, "", uri}, places.pid_directory, limit).here != Here::absent)
      return Error{"can't tell: " + refused.why};
  return Done{};
}

/// Whether this thread's last call of libvirt failed because nobody listens at its socket.
bool nobody_listens() {
  virErrorPtr error = virGetLastError();  // a system error carries errno in int1
  return error != nullptr && error->code == VIR_ERR_SYSTEM_ERROR && (error->int1 == ENOENT || error->int1 == ECONNREFUSED);
}

/// The domain whose emulator libvirt's pid file of this name names. Error: it can't be told.
Result<std::optional<DomainUuid>> emulated_domain(const std::string& name, const DirectPlaces& places) {
  if (name.find('/') != std::string::npos) return std::optional<DomainUuid>();  // libvirt takes no such name
  auto emulators = Emulator::find_all(places.pid_directory);
  if (!emulators) return Error{emulators.error()};
  pid_t pid = 0;
  if (std::ifstream file(places.pid_directory + "/" + name + ".pid"); !(file >> pid)) return std::optional<DomainUuid>();
  for (const auto& [uuid, emulator] : emulators.value())
    if (emulator->pid() == pid) return std::optional<DomainUuid>(uuid);
  return std::optional<DomainUuid>();
}

/// The domain of this name that is active: by libvirt, or, when it is silent, by its pid files. Nothing: there is none.
/// Error: it can't be told.
Result<std::optional<DomainUuid>> active_domain(const std::string& name, const std::string& uri, const DirectPlaces& places, Milliseconds limit) {
  struct Found {
    bool down = false;
    std::optional<DomainUuid> uuid;
  };
  Result<Found> found = within<Found>(limit, "ask libvirt (" + uri + ")", [name, uri]() -> Result<Found> {
    start_libvirt_events();
    Found found;
    Result<Connection> connection = open_connection(uri, true, 2, 3);
    if (!connection) {
      found.down = nobody_listens();
      if (!found.down || uri.rfind("xen", 0) == 0) return Error{connection.error()};
      return found;
    }
    DomainHandle domain(virDomainLookupByName(connection.value().get(), name.c_str()));
    if (!domain && libvirt_error_code() != VIR_ERR_NO_DOMAIN) return libvirt_error("find the domain " + name);
    char uuid[VIR_UUID_STRING_BUFLEN];
    if (domain && virDomainIsActive(domain.get()) != 0 && virDomainGetUUIDString(domain.get(), uuid) == 0) found.uuid = DomainUuid::parse(uuid);
    return found;
  });
  if (found && !found.value().down) return found.value().uuid;
  Result<std::optional<DomainUuid>> emulated = emulated_domain(name, places);
  // Libvirt that hangs may be just starting one.
  if (!found && !(emulated && emulated.value())) return Error{found.error()};
  return emulated;
}

/// The domain of this name that is active; an empty one is nobody's. Nothing: neither that nor one whose name can't be read.
/// Error: it can't be told.
Result<std::optional<DomainUuid>> domain_by_name(const std::string& name, const std::string& uri, const DirectPlaces& places,
                                                 const std::string& boot, Milliseconds limit) {
  Result<std::optional<DomainUuid>> active = name.empty() ? std::optional<DomainUuid>() : active_domain(name, uri, places, limit);
  if (!active) return Error{"can't tell whether domain " + name + " runs: " + active.error()};
  if (active.value()) return active;
  if (Outcome told = nothing_else_runs(places, boot, uri, limit); !told) return Error{told.error()};
  return active;
}

/// What the configuration and the journal say of the domain that is meant.
struct Identity {
  struct Domain {
    DomainUuid uuid;
    std::string name;
  };
  std::optional<Domain> defined;  ///< by the file, whose name is as the parameter `name` says
  std::optional<Domain> known;    ///< else: what was once told to the daemon, or is kept of another node's, says which domain it is
  NoDefinition none;              ///< why `defined` is nothing; its text is empty when there is no parameter `config`
};

Identity identify(const std::string& resource, const resource::Parameters& parameters, const DirectPlaces& places, const std::string& boot) {
  Identity found;
  const std::variant<DomainXml, NoDefinition> read = parameters.config.empty() ? NoDefinition{} : read_definition(parameters);
  if (const DomainXml* xml = std::get_if<DomainXml>(&read)) {
    found.defined = {xml->uuid, xml->name};
    return found;
  }
  found.none = std::get<NoDefinition>(read);
  if (std::optional<StoredRecord> record = record_of_resource(resource, places, boot))
    found.known = {record->record.uuid, record->record.name};
  else if (const auto kept = found.none.misnamed ? std::nullopt : kept_instead_of(places.state_dir, resource, parameters.config))
    found.known = {kept->uuid, kept->name};
  return found;
}

/// Adds the record. Error: it can't be read, and the subject is without one.
Outcome add_record(Subject& subject, const DirectPlaces& places, const std::string& boot) {
  Result<std::optional<StoredRecord>> record = load_record(places.state_dir, subject.domain.uuid, boot);
  if (!record) return Error{record.error()};
  // After a reboot of the node nothing of an old offer or move is left.
  if (record.value() && !record.value()->other_boot) subject.record = std::move(record.value());
  return Done{};
}

}  // namespace

/// The resource's own hypervisor, or else the node's.
std::string uri_of(const std::map<std::string, std::string>& given, const DirectPlaces& places) {
  const auto at = given.find("hypervisor");
  return at == given.end() || at->second.empty() ? places.libvirt_uri : at->second;
}

std::variant<std::optional<Subject>, Refused> find_to_monitor(const std::string& resource, const std::map<std::string, std::string>& given,
                                                              const DirectPlaces& places, Milliseconds limit) {
  Result<resource::Parameters> parameters = resource::parse(given);
  if (!parameters) return refuse(Fault::parameters, parameters.error());
  Result<std::string> boot = boot_id();
  if (!boot) return Refused{OcfCode::error, boot.error()};
  const Identity found = identify(resource, parameters.value(), places, boot.value());
  Identity::Domain meant{{}, parameters.value().name};
  const std::string uri = uri_of(given, places);
  if (found.defined) {
    meant = *found.defined;
  } else if (found.known && (meant.name.empty() || found.known->name == meant.name)) {  // not if it was given another one since
    meant = *found.known;
  } else {  // as at a probe before the storage with its definition is mounted
    if (meant.name.empty() || found.none.misnamed) return refuse(Fault::node, found.none.why);
    Result<std::optional<DomainUuid>> active = domain_by_name(meant.name, uri, places, boot.value(), limit);
    if (!active) return Refused{OcfCode::error, active.error()};
    if (!active.value()) return std::optional<Subject>();
    meant.uuid = *active.value();
  }
  Subject subject{parameters.value(), {meant.uuid, meant.name, uri}, {}};
  if (Outcome read = add_record(subject, places, boot.value()); !read) return Refused{OcfCode::error, "can't tell: " + read.error()};
  return std::optional<Subject>(std::move(subject));
}

std::variant<std::optional<Subject>, Refused> find_to_stop(const std::string& resource, bool named_by_resource,
                                                           const std::map<std::string, std::string>& given, const DirectPlaces& places,
                                                           Milliseconds limit, std::string& complaint) {
  resource::GoodParameters good = resource::good_parameters(given);
  complaint = good.complaint;
  const auto complain = [&complaint](const std::string& text) { complaint += (complaint.empty() || text.empty() ? "" : "; ") + text; };
  Result<std::string> boot = boot_id();
  if (!boot) return Refused{OcfCode::error, boot.error()};
  const Identity found = identify(resource, good.parsed, places, boot.value());
  complain(found.none.why);
  Subject subject{good.parsed, {{}, "", uri_of(good.given, places)}, {}};
  if (found.defined || found.known) {
    const Identity::Domain& meant = found.defined ? *found.defined : *found.known;
    subject.domain.uuid = meant.uuid;
    subject.domain.name = meant.name;
  } else {
    // A name that the file contradicts may be a stranger's, too.
    if (!found.none.misnamed) subject.domain.name = good.parsed.name.empty() && named_by_resource ? resource : good.parsed.name;
    if (good.parsed.name.empty() && resource.empty()) return Refused{OcfCode::not_installed, ""};  // nobody says what to stop
    Result<std::optional<DomainUuid>> active = domain_by_name(subject.domain.name, subject.domain.uri, places, boot.value(), limit);
    if (!active) return Refused{OcfCode::error, active.error()};
    if (!active.value()) {
      complain("nothing of it is known here, so nothing is stopped");
      return std::optional<Subject>();
    }
    subject.domain.uuid = *active.value();
  }
  if (Outcome read = add_record(subject, places, boot.value()); !read) {
    complain("it is stopped all the same, but whether it was just being moved is not known: " + read.error() +
             "; it is not started again before the record is repaired, or removed because the domain surely runs nowhere");
  }
  return std::optional<Subject>(std::move(subject));
}

}  // namespace migrationd::io
