// SPDX-License-Identifier: GPL-2.0-or-later
// libvirt's RPC, taken apart.
#include "migrationd/wire/libvirt-rpc.h"

#include <algorithm>
#include <array>

namespace migrationd::wire {

namespace {

constexpr std::size_t header_size = 28;
constexpr std::uint32_t remote_program = 0x20008086, keepalive_program = 0x6b656570;
constexpr std::uint32_t type_call = 0, type_reply = 1, type_message = 2;

constexpr std::uint32_t prepare3_params = 303, finish3_params = 306;

struct Procedure {
  std::uint32_t number;
  const char* name;
};
/// What libvirt calls at the destination of a peer-to-peer migration, and for the connection itself.
constexpr auto needed = std::to_array<Procedure>({
    {1, "ConnectOpen"},
    {2, "ConnectClose"},
    {60, "ConnectSupportsFeature"},
    {66, "AuthList"},
    {prepare3_params, "DomainMigratePrepare3Params"},
    {finish3_params, "DomainMigrateFinish3Params"},
    {360, "ConnectRegisterCloseCallback"},
    {361, "ConnectUnregisterCloseCallback"},
});

std::uint32_t number(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

/// XDR, from the front. After a failure everything reads as nothing.
class Xdr {
 public:
  explicit Xdr(std::string_view bytes) : left_(bytes) {}
  bool failed() const { return failed_; }
  std::size_t left() const { return left_.size(); }
  std::uint32_t count() {
    const std::string_view four = take(4);
    return failed_ ? 0 : number(four, 0);
  }
  void skip(std::size_t size) { take(size); }
  std::string_view opaque() {
    const std::uint32_t size = count();
    const std::string_view text = take(size);
    take((4 - size % 4) % 4);
    return failed_ ? std::string_view() : text;
  }

 private:
  std::string_view take(std::size_t size) {
    failed_ = failed_ || size > left_.size();
    if (failed_) return {};
    const std::string_view taken = left_.substr(0, size);
    left_.remove_prefix(size);
    return taken;
  }
  std::string_view left_;
  bool failed_ = false;
};

// virTypedParameterType
enum ParameterType : std::uint32_t { type_int = 1, type_uint, type_llong, type_ullong, type_double, type_boolean, type_string };
constexpr std::uint32_t parameters_most = 64;

/// The beginning of the arguments of Prepare3Params and of Finish3Params: parameters, cookie, flags; Finish has `cancelled` after them.
Result<MigrationCall> read_call(MigrationCall::Kind kind, std::string_view body, std::size_t& flags_at) {
  MigrationCall call;
  call.kind = kind;
  Xdr xdr(body);
  const std::uint32_t parameters = xdr.count();
  if (parameters > parameters_most) return Error{"it has more parameters than libvirt knows"};
  for (std::uint32_t i = 0; i < parameters && !xdr.failed(); ++i) {
    const std::string field(xdr.opaque());
    switch (xdr.count()) {
      case type_int: case type_uint: case type_boolean: xdr.skip(4); break;
      case type_llong: case type_ullong: case type_double: xdr.skip(8); break;
      case type_string: {
        const std::string value(xdr.opaque());
        // One that came twice could be judged by one value and carried out by the other; lists (migrate_disks) are no texts of ours.
        const auto [at, added] = call.texts.try_emplace(field, value);
        if (!added && at->second != value) at->second += '\n' + value;
        break;
      }
      default: return Error{"it has a parameter of an unknown type"};
    }
  }
  xdr.opaque();  // the cookie
  flags_at = body.size() - xdr.left();
  call.flags = xdr.count();
  if (kind == MigrationCall::Kind::finish) call.cancelled = xdr.count() != 0;
  if (xdr.failed()) return Error{"its arguments are cut off"};
  return call;
}

}  // namespace

LibvirtRpcGuard::LibvirtRpcGuard(std::function<Outcome(MigrationCall&)> judge, std::function<void()> prepared)
    : judge_(std::move(judge)), prepared_(std::move(prepared)) {}

std::optional<LibvirtRpcGuard::Header> LibvirtRpcGuard::header(std::string_view bytes) {
  if (bytes.size() < header_size) return std::nullopt;
  return Header{number(bytes, 0), number(bytes, 4), number(bytes, 8), number(bytes, 12), number(bytes, 16), number(bytes, 20), number(bytes, 24)};
}

Outcome LibvirtRpcGuard::check(const Header& header, std::string_view body, std::optional<Flags>& flags) {
  const std::string procedure = std::to_string(header.procedure);
  if (header.program == keepalive_program && header.type == type_message) return Done{};
  if (header.program != remote_program) return Error{"program " + std::to_string(header.program) + " is none that a migration needs"};
  const auto found = std::find_if(needed.begin(), needed.end(), [&](const Procedure& one) { return one.number == header.procedure; });
  if (header.type != type_call || found == needed.end())
    return Error{"a message of type " + std::to_string(header.type) + " for procedure " + procedure + " is none that a migration needs"};
  if (header.procedure != prepare3_params && header.procedure != finish3_params) return Done{};

  const bool prepare = header.procedure == prepare3_params;
  const std::string name = found->name;
  if (prepare && prepare_serial_) return Error{"a second " + name};
  if (!prepare && !prepare_answered_) return Error{name + " before anything was prepared"};
  std::size_t flags_at = 0;
  auto call = read_call(prepare ? MigrationCall::Kind::prepare : MigrationCall::Kind::finish, body, flags_at);
  if (!call.ok()) return Error{name + ": " + call.error()};
  const std::uint32_t asked = call.value().flags;
  if (auto judged = judge_(call.value()); !judged) return Error{name + ": " + judged.error()};
  if (call.value().flags != asked) flags = Flags{flags_at, call.value().flags};
  if (prepare) prepare_serial_ = header.serial;
  return Done{};
}

Outcome LibvirtRpcGuard::from_client(std::string_view bytes, std::string& out) {
  from_client_.append(bytes);
  std::string_view left = from_client_;
  while (const auto head = header(left)) {
    if (head->length < header_size) return Error{"this is not libvirt's RPC"};
    if (head->length > rpc_message_limit) return Error{"a message of " + std::to_string(head->length) + " bytes"};
    if (left.size() < head->length) break;
    const std::string_view message = left.substr(0, head->length);
    std::optional<Flags> flags;
    if (auto may = check(*head, message.substr(header_size), flags); !may) return may;
    const std::size_t begins = out.size();
    out.append(message);
    if (flags)
      for (std::size_t i = 0; i < 4; ++i) out[begins + header_size + flags->at + i] = static_cast<char>(flags->value >> (24 - 8 * i) & 0xff);
    left.remove_prefix(head->length);
  }
  from_client_.erase(0, from_client_.size() - left.size());
  return Done{};
}

Outcome LibvirtRpcGuard::from_server(std::string_view bytes, std::string& out) {
  from_server_.append(bytes);
  std::string_view left = from_server_;
  while (const auto head = header(left)) {
    if (head->length < header_size || head->length > 2 * rpc_message_limit) return Error{"libvirt's answer is not of its RPC"};
    if (left.size() < head->length) break;
    if (head->type == type_reply && head->program == remote_program && head->procedure == prepare3_params && head->serial == prepare_serial_ &&
        !prepare_answered_) {
      prepare_answered_ = true;
      prepared_();
    }
    out.append(left.substr(0, head->length));
    left.remove_prefix(head->length);
  }
  from_server_.erase(0, from_server_.size() - left.size());
  return Done{};
}

}  // namespace migrationd::wire
