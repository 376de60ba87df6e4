// SPDX-License-Identifier: GPL-2.0-or-later
// The resource agent: started by the cluster manager for each action, asks the daemon beside it and ends. It
// holds no state, because it is killed without warning when its time is up.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "agent/faces.h"

namespace {

using namespace migrationd::agent;

// Heartbeat's scripts pass their descriptors on, and what --direct might leave running must not hold them.
void tidy_descriptors() {
  while (true) {  // 0 to 2 are always there
    const int fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0 || fd > STDERR_FILENO) break;
    ::fcntl(fd, F_SETFD, 0);
  }
  if (::close_range(STDERR_FILENO + 1, ~0U, 0) != 0)
    for (int fd = STDERR_FILENO + 1; fd < 1024; ++fd) ::close(fd);
}

Environment faces_environment(char** variables) {
  Environment environment;
  for (; *variables; ++variables) {
    const std::string_view text = *variables;
    const std::size_t equals = text.find('=');
    const bool of_a_face = text.starts_with("OCF_") || text.starts_with("SA_AMF_") || text.starts_with("MIGRATIOND_");
    if (of_a_face && equals != std::string_view::npos)
      environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

}  // namespace

int main(int count, char** arguments) {
  tidy_descriptors();
  ::signal(SIGCHLD, SIG_DFL);  // a caller that ignored it would have the ends of our children lost
  const Installation installation{.daemon = MIGRATIOND_SBINDIR "/migrationd", .resources = MIGRATIOND_SYSCONFDIR "/migrationd/resources",
                                  .runtime = MIGRATIOND_RUNTIMEDIR};
  const Environment environment = faces_environment(::environ);
  const std::string program = count > 0 ? arguments[0] : "";
  const auto call = understand(std::vector<std::string>(arguments, arguments + count), environment);
  if (!call) {
    const Face face = face_of(program, environment);
    complain(face == Face::ocf ? "ocf-exit-reason:" : program + ": ", call.error());
    if (face == Face::amf) return amf_refusal(count > 1 ? arguments[1] : "");
    return static_cast<int>(migrationd::wire::OcfCode::bad_arguments);
  }
  switch (call.value().face) {
    case Face::ocf: return run_ocf(installation, call.value(), environment, program);
    case Face::lsb: return run_lsb(installation, call.value(), program);
    case Face::amf: return run_amf(installation, call.value(), environment, program);
  }
}
