// SPDX-License-Identifier: GPL-2.0-or-later
// A directory for one test case, removed with all that is in it.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

namespace migrationd::tests {

class Scratch {
 public:
  Scratch() {
    path_ = (std::filesystem::temp_directory_path() / "migrationd-unit-XXXXXX").string();
    if (!::mkdtemp(path_.data())) throw std::runtime_error("can't make a scratch directory");
  }
  Scratch(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline void write_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

inline std::string file_content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace migrationd::tests
