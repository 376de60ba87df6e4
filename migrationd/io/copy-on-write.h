// SPDX-License-Identifier: GPL-2.0-or-later
// A domain's disk that is made before it boots: a qcow2 image on top of another one, which stays as it is (the parameters
// backingfile, stateless and copyindirs). Made with qemu-img and virt-copy-in, beside the old one, and renamed when it is whole.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "migrationd/base/clock.h"
#include "migrationd/base/result.h"
#include "migrationd/engine/world.h"

namespace migrationd::io {

/// Makes the disk, unless it is there and may stay. Errors: the definition `xml` has no such disk (then a boot would not use
/// it), the file of `config` beside it can't be read (its storage is not mounted), the backing image can't be used, a program
/// failed or was not done within `limit` or the disk's own time, or the boot was given up: a program that runs is killed then, and
/// no disk is replaced any more. Blocks. Ok: what was done, for the log; empty: nothing was to be done.
Result<std::string> make_disk(const engine::CopyOnWrite& disk, const std::string& xml, Milliseconds limit, const std::stop_token& given_up = {});

/// The format of an image in the answer of `qemu-img info --output=json`. Errors: it isn't one.
Result<std::string> image_format(const std::string& answer);

}  // namespace migrationd::io
