// SPDX-License-Identifier: GPL-2.0-or-later
// A fuzzer without libFuzzer: gives it each file of a directory, as it is and cut off at each byte.
//   replay-NAME DIRECTORY
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int count, char** words) {
  int files = 0;
  if (count == 2) {
    for (const auto& entry : std::filesystem::directory_iterator(words[1])) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::vector<char> content{std::istreambuf_iterator<char>(file), {}};
      std::fprintf(stderr, "%s\n", entry.path().c_str());  // the last one named is the one that crashed
      for (std::size_t length = 0; length <= content.size(); ++length) {
        // A copy of its own, so that a sanitizer sees a read behind its end.
        const std::vector<std::uint8_t> input(content.begin(), content.begin() + static_cast<std::ptrdiff_t>(length));
        LLVMFuzzerTestOneInput(input.data(), input.size());
      }
      ++files;
    }
  }
  std::printf("%d files\n", files);
  return files > 0 ? 0 : 1;
}
