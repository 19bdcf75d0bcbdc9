#!/usr/bin/env bash
# Rules of the code that need no compiler run of their own. Last line: "N passed, N failed, N skipped".
set -uo pipefail
cd "$(dirname "$0")/../.."
passed=0 failed=0

# check NAME OUTPUT: passes if OUTPUT is empty.
check() {
  if [ -z "$2" ]; then
    passed=$((passed + 1))
    echo "ok   $1"
  else
    failed=$((failed + 1))
    printf 'FAIL %s\n%s\n' "$1" "$(head -n 20 <<<"$2")"
  fi
}

# forbid NAME PATTERN ALLOWED-PATHS: no C++ line outside ALLOWED-PATHS (a regular expression) may match PATTERN.
forbid() { check "$1" "$(git grep -nE "$2" -- '*.cc' '*.h' | grep -vE "^($3)" || true)"; }

cxx() { git ls-files '*.cc' '*.h'; }

check "clang-format leaves every file as it is" "$(cxx | xargs clang-format-14 --dry-run -Werror 2>&1 | grep -E 'error:' || true)"
check "no file is longer than 600 lines" \
  "$(cxx | xargs wc -l | awk '$2 != "total" && $1 > 600 {print $2 ": " $1}')"
check "shell scripts parse" "$(git ls-files '*.sh' .ci/run | while read -r f; do bash -n "$f" 2>&1; done)"
check "Python files parse" "$(git ls-files '*.py' | while read -r f; do python3 -c 'import ast,sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$f" 2>&1; done)"

forbid "time comes from Clock" 'absl::Now\(\)|std::chrono::[a-z_]*clock|gettimeofday|[^_a-z]time\(nullptr\)' \
  'lib/base/clock|lib/system/command_runner|lib/system/helper_process|lib/tls/|lib/http/|lib/rpc/|test/bench/|.*_test\.cc:|.*/testing/|test/'
forbid "no shell: programs are run by argv" '[^a-zA-Z_:.>]system\(|popen\(|"sh", *"-c"|/bin/sh' '.*_test\.cc:|test/'
forbid "fork and exec only in lib/system" '[^a-zA-Z_]fork\(\)|posix_spawn|exec[lv]p?e?\(' 'lib/system/|.*_test\.cc:|.*/testing/|test/'
forbid "system calls on mounts and devices only in lib/system" '[^a-zA-Z_:.>]u?mount2?\(|[^a-zA-Z_]ioctl\(' 'lib/system/|.*_test\.cc:|.*/testing/|test/'
forbid "cpprestsdk only in lib/http" '#include [<"]cpprest' 'lib/http/'
forbid "prometheus-cpp only in lib/metrics" '#include [<"]prometheus' 'lib/metrics/'
forbid "libevent only in lib/metrics" '#include [<"]event2?[./]' 'lib/metrics/'
forbid "yaml-cpp only in lib/yaml" '#include [<"]yaml-cpp' 'lib/yaml/'
forbid "SQLite only in standalone" '#include [<"]sqlite3' 'standalone/'
forbid "libfdisk only in lib/system" '#include [<"]libfdisk' 'lib/system/'
forbid "spdlog only in lib/base" '#include [<"]spdlog' 'lib/base/'
forbid "absl::Mutex is not used" 'absl::Mutex|absl/synchronization/mutex' 'lib/base/mutex\.h'
forbid "std::mutex only inside Mutex" 'std::mutex|std::lock_guard|std::condition_variable' 'lib/base/mutex\.h'
forbid "no test library in the product" '#include "(gtest|gmock)/' '.*_test\.cc:|.*/testing/|test/|.*_contract\.(h|cc):'
forbid "controller, csi and node-agent do not include one another" '#include "(controller|csi|node-agent)/' \
  'controller/|csi/|node-agent/|cmd/|test/|standalone/'
check "controller includes neither csi nor node-agent" "$(git grep -nE '#include "(csi|node-agent)/' -- controller | grep -v _test.cc || true)"
check "csi includes neither controller nor node-agent" "$(git grep -nE '#include "(controller|node-agent)/' -- csi | grep -v _test.cc || true)"
check "node-agent includes neither controller nor csi" "$(git grep -nE '#include "(controller|csi)/' -- node-agent | grep -v _test.cc || true)"
check "nothing unfinished is left" "$(git grep -nE '(^|[^A-Za-z])(TODO|FIXME|XXX)([^A-Za-z]|$)' -- '*.cc' '*.h' '*.sh' '*.py' '*.yaml' '*.md' ':!test/checks' || true)"
check "the project names no place outside itself" "$(git grep -nE '\.\./shared|/work/|(^|[^}a-z])/root/' -- . ':!test/checks' || true)"
check "links in the documentation lead somewhere" "$(
  git ls-files '*.md' | while read -r page; do
    grep -oE '\]\([^)#:]+' "$page" | sed 's/^](//' | while read -r link; do
      [ -e "$(dirname "$page")/$link" ] || echo "$page: $link"
    done
  done
)"
# Programs contain these (cmake/Dependencies.cmake): a shared library that brings one of them brings a second copy.
check "no program loads what it already contains" "$(
  for program in ashlar ashlar-controller ashlar-csi ashlar-node-agent; do
    ldd "build/release/bin/$program" 2>&1 | grep -E 'lib(grpc|gpr|absl|protobuf|upb|re2|cares|event)|not a|no such' -i | sed "s/^/$program: /"
  done
)"
check "every Debian package has a reason" "$(grep -nE '^[a-z]' deploy/packages.txt | grep -v '#' || true)"

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
