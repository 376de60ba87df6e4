#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The manual is whole: every page formats without a warning, names only pages that exist, and documents every
# subcommand and option, every configuration key with its default, and every resource parameter that the sources have.
set -eu
top=${srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
LC_ALL=C.UTF-8
export LC_ALL
failed=0

# verdict NAME COMPLAINTS: PASS when there are none.
verdict() {
  if [ -z "$2" ]; then
    echo "PASS $1"
  else
    echo "FAIL $1: $(echo "$2" | tr '\n' ' ')"
    failed=1
  fi
}

# plain FILE: the page's text without the escapes that hide a name in it.
plain() { sed 's/\\-/-/g; s/\\f[A-Z]//g; s/\\e/\\/g' "$1"; }

# missing PAGE WORDS...: those that head no entry of the page (a line .B word, .BR word ..., .BI word ...; or .SS word).
missing() {
  page=$1
  shift
  for word; do
    plain "$top/man/$page" | grep -Eq "^\.(B|BR|BI|SS) (.*[ ,])?\"?$word( |,|\"|\$)" || echo "$word"
  done
}

keys_of_config() { sed -n 's/^ *{"\([a-z_]*\)", \(false\|true\),.*/\1/p' "$top/migrationd/io/config-file.cc"; }
keys_of_example() { sed -n 's/^#\{0,1\}\([a-z_]*\) =.*/\1/p' "$top/migrationd/migrationd.conf.example" | sort -u; }
parameters() { sed -n 's/^ *{\.name = "\([A-Za-z0-9_]*\)".*/\1/p' "$top/migrationd/resource/table.cc"; }
subcommands() { grep -ho 'add_subcommand( *$\|add_subcommand("[a-z]*"\|^ *"[a-z]*", "Make' "$top"/migrationctl/*.cc | grep -o '"[a-z]*"' | tr -d '"'; }
ctl_options() { grep -ho 'add_\(option\|flag\)("--[a-z-]*"' "$top"/migrationctl/*.cc | cut -d'"' -f2 | sort -u; }
daemon_options() { grep -o '"--[a-z-]*"' "$top/migrationd/main.cc" | tr -d '"' | sort -u; }

# What the lists are read from could change its form: an empty list would pass everything.
few=
[ "$(keys_of_config | wc -l)" -ge 15 ] || few="$few config-file.cc"
[ "$(keys_of_example | wc -l)" -ge 15 ] || few="$few migrationd.conf.example"
[ "$(parameters | wc -l)" -ge 35 ] || few="$few table.cc"
[ "$(subcommands | wc -l)" -ge 5 ] || few="$few migrationctl/*.cc"
[ "$(ctl_options | wc -l)" -ge 10 ] || few="$few options of migrationctl/*.cc"
[ "$(daemon_options | wc -l)" -ge 4 ] || few="$few main.cc"
verdict "the lists to compare with are read" "$few"

# shellcheck disable=SC2046
{
  verdict "every configuration key is in migrationd.conf(5)" "$(missing migrationd.conf.5 $(keys_of_config))"
  verdict "every key of the example is in migrationd.conf(5)" "$(missing migrationd.conf.5 $(keys_of_example))"
  verdict "every resource parameter is in ocf_migrationd_VirtualDomain(7)" "$(missing ocf_migrationd_VirtualDomain.7 $(parameters))"
  verdict "every subcommand is in migrationctl(8)" "$(missing migrationctl.8 $(subcommands))"
  verdict "every subcommand is completed" "$(for c in $(subcommands); do grep -qw "$c" "$top/completion/migrationctl" || echo "$c"; done)"
  verdict "every option is in migrationctl(8)" "$(for o in $(ctl_options); do plain "$top/man/migrationctl.8" | grep -q -e "$o" || echo "$o"; done)"
  verdict "every option is completed" "$(for o in $(ctl_options); do grep -q -e "$o" "$top/completion/migrationctl" || echo "$o"; done)"
  verdict "every option is in migrationd(8)" "$(for o in $(daemon_options); do plain "$top/man/migrationd.8" | grep -q -e "$o" || echo "$o"; done)"
}

# The defaults that the example names are those of the manual.
wrong=$(sed -n 's/^#\([a-z_]*\) = \(.*\)$/\1 \2/p' "$top/migrationd/migrationd.conf.example" | grep -Ev '^(node|alert_agent|alert_recipient) ' |
  while read -r key value; do
    plain "$top/man/migrationd.conf.5" | sed -n "/^\.B[RI] $key /,/^\.TP/p" | grep -qF "$value" || echo "$key=$value"
  done)
verdict "the defaults in migrationd.conf(5) are those of the example" "$wrong"

# Every kind of alarm, and nothing else, is in the table of the manual.
kinds=$(sed -n 's/^    case AlarmKind::.*: return "\([a-z-]*\)";.*/\1/p' "$top/migrationd/base/alarm.cc" | sort)
listed=$(plain "$top/man/migrationd.8" | sed -n '/^\.SH ALARMS/,/^\.TE/s/^\([a-z-]*\)\t[a-z]*\tT{$/\1/p' | sort)
verdict "every kind of alarm is in migrationd(8)" "$([ -n "$kinds" ] && [ "$kinds" = "$listed" ] || echo "differs: $(echo "$kinds
$listed" | sort | uniq -u)")"

# What stands under NOT IMPLEMENTED YET is what the table refuses.
refused=$(tr '\n' ' ' <"$top/migrationd/resource/table.cc" | sed 's/{\.name = "/\n&/g' | sed -n 's/^{\.name = "\([A-Za-z0-9_]*\)".*\.comes_with.*/\1/p' | sort)
listed=$(sed -n '/^\.SH "NOT IMPL/,/^\.SH ACTIONS/s/^\.B \([A-Za-z0-9_]*\)$/\1/p' "$top/man/ocf_migrationd_VirtualDomain.7" | sort)
verdict "what is not implemented is listed as such" "$([ "$refused" = "$listed" ] || echo "differs: $(echo "$refused
$listed" | sort | uniq -u)")"

command -v man >/dev/null || command -v mandoc >/dev/null ||
  echo "SKIP the pages are formatted: neither man nor mandoc is installed (Debian package man-db)"
for page in "$top"/man/*.[0-9]; do
  name=$(basename "$page")
  said=
  if command -v man >/dev/null; then
    said=$(MANWIDTH=100 MANROFFSEQ='' man --warnings -E UTF-8 -l -Tutf8 "$page" 2>&1 >/dev/null || echo "man failed")
  fi
  if command -v mandoc >/dev/null; then said=$said$(mandoc -Tlint -W warning "$page" 2>&1 || true); fi
  said=$said$(plain "$page" | grep -o '^\.BR [a-zA-Z_.-]* ([0-9])' | sed 's/^\.BR \(.*\) (\(.\))/\1.\2/' | sort -u |
    while read -r other; do
      case $other in migration* | ocf_*) [ -f "$top/man/$other" ] || echo "no page $other" ;; esac
    done)
  verdict "$name has nothing to complain of, and names pages that exist" "$said"
done
exit $failed
