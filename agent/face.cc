// SPDX-License-Identifier: GPL-2.0-or-later
// Tells the faces apart. The path goes before the environment, because an init script's environment may have
// variables of OCF left over by whoever called it.
#include "agent/face.h"

namespace migrationd::agent {

namespace {

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string_view directory(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

bool is_haresources(std::string_view program) {
  return file_name(program) == "migrationd" || (directory(program).ends_with("/resource.d") && !has(program, "/ocf/"));
}

// /etc/rc2.d and the like.
bool is_in_run_level(std::string_view program) {
  const std::string_view level = file_name(directory(program));
  return level.starts_with("rc") && level.ends_with(".d");
}

// The script's name; in a run level's directory without the order (S20x0).
std::string_view script_name(std::string_view program) {
  std::string_view name = file_name(program);
  const auto digit = [&](std::size_t at) { return name[at] >= '0' && name[at] <= '9'; };
  if (is_in_run_level(program) && name.size() > 3 && (name[0] == 'S' || name[0] == 'K') && digit(1) && digit(2))
    name.remove_prefix(3);
  return name;
}

std::string value(const Environment& environment, const char* name) {
  const auto it = environment.find(name);
  return it == environment.end() ? std::string() : it->second;
}

/// The longest distinguished name that OpenSAF has.
constexpr std::size_t component_limit = 2048;

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The resource is the argument after the action, else MIGRATIOND_RESOURCE, else called as the component.
Result<Call> understand_amf(Call call, const std::vector<std::string>& arguments, const Environment& environment) {
  if (arguments.size() != 2 && arguments.size() != 3) return Error{"wrong arguments; " + usage(call.face, arguments[0])};
  call.action = arguments[1];
  call.component = value(environment, "SA_AMF_COMPONENT_NAME");
  if (call.component.empty()) return Error{"the environment has no SA_AMF_COMPONENT_NAME: this is a program that AMF calls"};
  const Result<std::string> component = component_name(call.component);
  if (!component) return Error{component.error()};
  const auto named = environment.find("MIGRATIOND_RESOURCE");
  if (arguments.size() == 3) call.resource = arguments[2];
  else call.resource = named == environment.end() ? component.value() : named->second;
  if (const std::string why = why_no_name(call.resource); !why.empty()) return Error{why};
  return call;
}

}  // namespace

Face face_of(std::string_view program, const Environment& environment) {
  if (has(program, "/ocf/") || has(program, "/resource.d/migrationd/")) return Face::ocf;
  if (program.ends_with("/migrationd/amf")) return Face::amf;
  if (is_haresources(program) || has(program, "/init.d/") || is_in_run_level(program)) return Face::lsb;
  if (file_name(program) == "VirtualDomain") return Face::ocf;
  return environment.contains("OCF_RESOURCE_INSTANCE") ? Face::ocf : Face::lsb;
}

Result<std::string> component_name(std::string_view component) {
  constexpr std::string_view begin = "safComp=";
  const auto refused = [](const char* why) {
    return Error{std::string("SA_AMF_COMPONENT_NAME is no name of a component: ") + why};
  };
  if (component.size() > component_limit) return refused("it is longer than 2048 bytes");
  for (const char c : component)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return refused("it has control characters");
  if (!component.starts_with(begin)) return refused("it doesn't begin with safComp=");
  std::string name;
  for (std::size_t at = begin.size(); at < component.size() && component[at] != ','; ++at) {
    if (component[at] != '\\') {
      name += component[at];
      continue;
    }
    // RFC 4514, section 2.4: the character itself, or its byte as two hexadecimal digits.
    if (++at == component.size()) return refused("a backslash is its end");
    const int high = digit(component[at]), low = at + 1 < component.size() ? digit(component[at + 1]) : -1;
    if (high >= 0 && low >= 0) {
      name += static_cast<char>(high * 16 + low);
      ++at;
    } else if (high < 0 && std::string_view("\\,+\"<>;=# ").find(component[at]) != std::string_view::npos) {
      name += component[at];
    } else {
      return refused("it has a backslash before something that needs none");
    }
  }
  return name;
}

Result<Call> understand(const std::vector<std::string>& arguments, const Environment& environment) {
  const std::string program = arguments.empty() ? std::string() : arguments[0];
  Call call{.face = face_of(program, environment)};
  if (call.face == Face::ocf) {
    // The specification has one argument, and all others ignored.
    if (arguments.size() < 2) return Error{"no action was given; " + usage(call.face, program)};
    call.action = arguments[1];
    call.resource = value(environment, "OCF_RESOURCE_INSTANCE");
    if (call.resource.empty()) call.resource = "default";
    return call;
  }
  if (call.face == Face::amf) return understand_amf(std::move(call), arguments, environment);
  const bool named = is_haresources(program);
  if (arguments.size() != (named ? 3u : 2u)) return Error{"wrong arguments; " + usage(call.face, program)};
  call.resource = named ? arguments[1] : std::string(script_name(program));
  call.action = arguments.back();
  if (const std::string why = why_no_name(call.resource); !why.empty()) return Error{why};
  return call;
}

std::string why_no_name(std::string_view name) {
  const auto refused = [](std::string_view shown, const char* why) {
    return "'" + std::string(shown) + "' is no name of a resource: " + why;
  };
  if (name.empty()) return refused(name, "it is empty");
  if (name.size() > 200) return refused(name.substr(0, 40), "it is longer than 200 bytes");
  for (const char c : name)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return refused("...", "it has control characters");
  if (name.front() == '.' || name.front() == '-') return refused(name, "it begins with a dot or a hyphen");
  if (has(name, "/")) return refused(name, "it has a slash");
  return {};
}

std::string usage(Face face, std::string_view program) {
  std::string text = "usage: " + std::string(program);
  switch (face) {
    case Face::ocf:
      return text + " start|stop|monitor|status|migrate_to|migrate_from|reload-agent|validate-all|meta-data|usage";
    case Face::lsb:
      return text + (is_haresources(program) ? " NAME" : "") + " start|stop|status|restart|force-reload";
    case Face::amf:
      return text + " instantiate|terminate|cleanup|am_start|am_stop [NAME]";
  }
  return text;
}

}  // namespace migrationd::agent
