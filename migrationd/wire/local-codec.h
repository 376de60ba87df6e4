// SPDX-License-Identifier: GPL-2.0-or-later
// Turns what the agent, migrationctl and the daemon say to each other on one node into JSON bytes and back,
// and says how those bytes lie in the datagrams of the local IPC.
//
// A request is one datagram: a qb_ipc_request_header with id local_message_id, then the JSON. A reply is one
// or more, because a datagram can't be as large as a reply may become: each a qb_ipc_response_header, whose
// id is local_part_id while more datagrams of the same reply follow and local_message_id in the last one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "migrationd/base/result.h"
#include "migrationd/wire/local-message.h"

namespace migrationd::wire {

inline constexpr std::int32_t local_message_id = 1;
inline constexpr std::int32_t local_part_id = 2;
/// Largest datagram in bytes, its header included: well within net.core.wmem_max's default of 208 KiB.
inline constexpr std::size_t local_datagram_limit = 64 * 1024;

/// Errors: a text that isn't UTF-8, a request or reply that becomes larger than local_message_limit.
Result<std::string> encode(const LocalRequest& request);
Result<std::string> encode(const LocalReply& reply);

/// Strict about what is known: every field must be there, once, and of its type and range. Fields that this
/// version doesn't know are passed over if they are plain values, because an agent may be newer than the
/// daemon that still runs. Errors: no JSON, not UTF-8, larger than local_message_limit, nested deeper than a
/// message is, or a field that is missing, repeated or wrong. Never throws.
Result<LocalRequest> decode_request(std::string_view bytes);
Result<LocalReply> decode_reply(std::string_view bytes);

const char* to_string(HeartbeatCause cause);

}  // namespace migrationd::wire
