// SPDX-License-Identifier: GPL-2.0-or-later
// PeerMessage <-> bytes: one JSON object per message, {"kind": "claim", ...}. JSON because messages are small
// and rare (a few per hand-off and a Ping per second) and a person must be able to read a captured one.
//
// Decoding is strict in what it uses (every field of a kind must be there, of its type, in its range) and
// ignores fields that it doesn't know, so that a later release can add some. An attempt is written as
// [incarnation, number]; a domain, an installation and a boot id are UUIDs.
#pragma once

#include <string>
#include <string_view>

#include "migrationd/base/result.h"
#include "migrationd/wire/peer-message.h"

namespace migrationd::wire {

/// The message as UTF-8 JSON. Bytes that are not UTF-8 in a text become U+FFFD.
std::string encode(const PeerMessage& message);

/// The message that `bytes` spell. The error says which field of which kind is wrong, and never repeats
/// more than a few bytes of the input. Never throws, whatever the input is.
Result<PeerMessage> decode_peer(std::string_view bytes);

/// The kind's word, as in the JSON, for logs.
const char* kind(const PeerMessage& message);

/// Whether `name` can be a node's name on the wire and in a handshake: 1 to 255 bytes, no blanks and no
/// control characters.
bool valid_node_name(std::string_view name);

}  // namespace migrationd::wire
