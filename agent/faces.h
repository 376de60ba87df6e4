// SPDX-License-Identifier: GPL-2.0-or-later
// The faces: OCF, LSB (init scripts and haresources), AMF. Each carries out a call and gives the exit code.
#pragma once

#include "agent/answer.h"
#include "agent/face.h"

namespace migrationd::agent {

/// OCF resource agent API 1.1. Reasons go to standard error as ocf-exit-reason.
int run_ocf(const Installation& installation, const Call& call, const Environment& environment, std::string_view program);

/// LSB 5.0, "Init Script Actions". status prints exactly "running" or "stopped", because Heartbeat judges it
/// by its output alone; in doubt it prints neither.
int run_lsb(const Installation& installation, const Call& call, std::string_view program);

/// SAI-AIS-AMF-B.04.01, CLC-CLI commands: 0 is success; of the others amfnd knows 200, after an instantiate: no more attempts.
int run_amf(const Installation& installation, const Call& call, const Environment& environment, std::string_view program);

/// The status of a call for AMF that is not understood.
int amf_refusal(std::string_view action);

/// Writes a line to standard error; a line break in the text becomes a space.
void complain(std::string_view prefix, std::string_view text);

}  // namespace migrationd::agent
