// SPDX-License-Identifier: GPL-2.0-or-later
// A domain is not moved onto another disk of the same name; and what can't be told is not refused.
#include <doctest/doctest.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "migrationd/io/storage-identity.h"
#include "tests/unit/scratch.h"

using namespace migrationd;
using namespace migrationd::io;

namespace {

DomainXml with_disk(const std::string& path, const std::string& more = "") {
  DomainXml domain;
  domain.disks.push_back({"file", path, "vda"});
  domain.disks.back().read_only = more == "read-only";
  return domain;
}

}  // namespace

TEST_CASE("storage-identity: what tells two disks of one name apart") {
  const StorageIdentity nfs{"file", "nfs", true, "77", 0}, local{"file", "ext4", false, "", 0}, fuse{"file", "", false, "", 0};
  const StorageIdentity lun{"block", "", false, "naa.5000", 4096}, drbd{"block", "", false, "", 4096};
  struct { StorageIdentity there, here; const char* says; } const cases[] = {
      {nfs, nfs, ""},
      {nfs, {"file", "nfs", true, "78", 0}, "another file"},
      {nfs, local, "mounted?"},
      {local, nfs, "no other node has it"},
      {local, local, "no other node has it"},
      {nfs, {"file", "ceph", true, "77", 0}, "(nfs)"},
      {fuse, fuse, ""},
      {nfs, fuse, ""},
      {fuse, nfs, ""},
      {lun, lun, ""},
      {lun, {"block", "", false, "naa.6000", 4096}, "another device"},
      {lun, {"block", "", false, "naa.5000", 8192}, "another size"},
      {drbd, drbd, ""},
      {lun, drbd, ""},
      {drbd, {"block", "", false, "", 512}, "another size"},
      {lun, nfs, "a block device on the node"},
      {nfs, {"other", "", false, "", 0}, "neither file"},
  };
  for (const auto& one : cases) {
    CAPTURE(to_text(one.there));
    CAPTURE(to_text(one.here));
    const std::string said = other_storage(one.there, one.here);
    if (*one.says == '\0') {
      CHECK(said == "");
    } else {
      CHECK(said.find(one.says) != std::string::npos);
    }
    CHECK(storage_identity_of_text(to_text(one.there)).value() == one.there);
  }
}

TEST_CASE("storage-identity: a text from the other node that is none is refused") {
  for (const char* text : {"", "file", "file\nnfs\nshared\n", "file\nnfs\nshared\nbig\n77", "file\nnfs\nshared\n-1\n77"}) {
    CAPTURE(text);
    CHECK_FALSE(storage_identity_of_text(text).ok());
  }
}

TEST_CASE("storage-identity: files are looked at, what is only read or not there is left out") {
  const tests::Scratch scratch;
  const std::string disk = scratch / "disk";
  tests::write_file(disk, "data");
  CHECK(storage_identity(disk).value().kind == "file");
  CHECK(storage_identity(scratch.path()).value().kind == "other");
  CHECK_FALSE(storage_identity(scratch / "none").ok());
  CHECK(storage_of(with_disk(disk)).size() == 1);
  CHECK(storage_of(with_disk(disk, "read-only")).empty());
  CHECK(storage_of(with_disk(scratch / "none")).empty());
  const std::map<std::string, std::string> elsewhere{{disk, to_text({"block", "", false, "naa.5000", 4096})}};
  const Outcome checked = check_storage(with_disk(disk), elsewhere);
  REQUIRE_FALSE(checked.ok());
  CHECK(checked.error().find("disk vda: " + disk) != std::string::npos);
  CHECK(check_storage(with_disk(disk, "read-only"), elsewhere).ok());
  CHECK(check_storage(with_disk(disk), {}).ok());  // the other node said nothing of it
}

TEST_CASE("storage-identity: a block device's serial is its hardware's or its volume manager's") {
  struct stat status {};
  std::string device;
  for (const char* path : {"/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/loop0"})
    if (device.empty() && ::stat(path, &status) == 0 && S_ISBLK(status.st_mode)) device = path;
  if (device.empty()) {
    MESSAGE("no block device here to look at");
    return;
  }
  const tests::Scratch sys;
  const std::string directory = sys / ("dev/block/" + std::to_string(major(status.st_rdev)) + ":" + std::to_string(minor(status.st_rdev)));
  std::filesystem::create_directories(directory + "/dm");
  std::filesystem::create_directories(directory + "/device");
  CHECK(storage_identity(device, sys.path()).value() == StorageIdentity{"block", "", false, "", 0});
  tests::write_file(directory + "/size", "8\n");
  tests::write_file(directory + "/device/wwid", "naa.5000  \n");
  CHECK(storage_identity(device, sys.path()).value() == StorageIdentity{"block", "", false, "naa.5000", 4096});
  tests::write_file(directory + "/dm/uuid", "LVM-abc\n");
  CHECK(storage_identity(device, sys.path()).value().id == "LVM-abc");
}
