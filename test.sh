#!/usr/bin/env bash
# Builds Ashlar and runs its tests. usage: ./test.sh [SUITE...]      without SUITE: all of them
#   checks      form, layers, generated files, rules that grep can see
#   tidy        clang-tidy and Clang's thread-safety analysis over every source; what was clean is not looked at again
#   unit        every *_test.cc beside its source
#   contract    one suite against fakes and real implementations (a real kube-apiserver among them)
#   loop        the agent on real loop devices and filesystems (root)
#   standalone  `ashlar standalone` under two kubectl versions, csi-sanity and quickstart.sh (root)
#   chart       the Helm chart, rendered and linted
#   drive       the agent among NVMe, SATA and virtio drives, free and used ones, in QEMU without KVM
#   gpu         the agent among GPUs (a stand-in for NVML) and drives on one PCIe tree, in QEMU without KVM
#   cluster     a real Kubernetes of two nodes with the chart installed (root)
#   asan, tsan  the unit tests of what links neither gRPC nor cpprestsdk, under sanitizers
# One line a suite at the end. Logs lie in build/test-logs. With CI=true a lab that cannot start is a failure.
set -uo pipefail
cd "$(dirname "$0")"
root=$PWD
logs=$root/build/test-logs
all_suites=(checks tidy unit contract loop standalone chart drive gpu cluster asan tsan)
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=include_file_mtime,include_file_ctime
export ASHLAR_CACHE=${ASHLAR_CACHE:-$HOME/.cache/ashlar}
export PATH=$PATH:/usr/local/go/bin:/usr/sbin
mkdir -p "$logs"

total_passed=0 total_failed=0 total_skipped=0
summary=()

# tally SUITE PASSED FAILED SKIPPED SECONDS: one line now, and again in the summary.
tally() {
  local line
  line=$(printf 'suite %-10s %4d passed, %d failed, %d skipped (%ds)' "$1" "$2" "$3" "$4" "$5")
  summary+=("$line")
  echo "$line"
  total_passed=$((total_passed + $2)) total_failed=$((total_failed + $3)) total_skipped=$((total_skipped + $4))
  [ "$3" = 0 ] || { echo "--- the end of $logs/$1.log"; tail -n 60 "$logs/$1.log"; echo "---"; }
}

need() { deploy/install-packages.sh "$@"; }

# build PRESET [TARGET...]: once for each preset and run of this script.
declare -A built
build() {
  local preset=$1
  shift
  [ -z "${built[$preset$*]:-}" ] || return 0
  echo "building ($preset)"
  cmake --preset "$preset" -DASHLAR_PRECOMPILED_HEADERS="${ASHLAR_PRECOMPILED_HEADERS:-OFF}" >"$logs/cmake-$preset.log" 2>&1 || { tail -n 30 "$logs/cmake-$preset.log"; return 1; }
  ninja -C "build/$preset" "$@" >"$logs/build-$preset.log" 2>&1 || { grep -E 'error|FAILED' "$logs/build-$preset.log" | head -n 40; return 1; }
  built[$preset$*]=yes
}

# with_ctest SUITE PRESET CTEST-ARGUMENTS: counts GoogleTest cases, and whole programs where a test is no GoogleTest.
with_ctest() {
  local suite=$1 preset=$2 results="$logs/$1-results" start=$SECONDS
  shift 2
  rm -rf "$results"
  mkdir -p "$results"
  GTEST_OUTPUT="xml:$results/" ctest --test-dir "build/$preset" --output-on-failure --no-tests=error \
    --output-junit "$results/ctest.junit" "$@" >"$logs/$suite.log" 2>&1
  # shellcheck disable=SC2046
  tally "$suite" $(python3 test/count_results.py "$results") $((SECONDS - start))
}

# with_script SUITE COMMAND...: a program whose last line of the form "N passed, N failed, N skipped" counts.
script_passed=0 script_failed=0 script_skipped=0
with_script() {
  local suite=$1 counts rc output passed failed skipped
  shift
  output=$(mktemp) # of this script alone, so that one that counts nothing is not credited with another's tests
  "$@" >"$output" 2>&1 </dev/null
  rc=$?
  { echo "== $*"; cat "$output"; } >>"$logs/$suite.log"
  counts=$(grep -oE '[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?' "$output" | tail -n 1 | grep -oE '[0-9]+' | tr '\n' ' ')
  rm -f "$output"
  read -r passed failed skipped <<<"${counts:-0 0 0}"
  [ "$rc" = 0 ] || [ "${failed:-0}" != 0 ] || failed=1
  [ "$rc" != 0 ] || [ "${passed:-0}" != 0 ] || [ "${skipped:-0}" != 0 ] || failed=1 # ran nothing
  script_passed=$((script_passed + ${passed:-0})) script_failed=$((script_failed + failed)) script_skipped=$((script_skipped + ${skipped:-0}))
}

# sanitized PRESET: what links neither gRPC nor cpprestsdk, whose Debian builds sanitizers cannot see into.
sanitized() {
  need build check && build "$1" sanitizer_tests &&
    with_ctest "$1" "$1" -L '^unit$' -R "$(cat "build/$1/sanitizer_tests.regex")" -j2
}

# scripts SUITE SCRIPT...: each script is one with_script.
scripts() {
  local suite=$1 start=$SECONDS
  shift
  : >"$logs/$suite.log"
  script_passed=0 script_failed=0 script_skipped=0
  for script in "$@"; do with_script "$suite" "$script"; done
  tally "$suite" $script_passed $script_failed $script_skipped $((SECONDS - start))
}

suite_checks() { need build check && build release && scripts checks test/checks/run.sh; }
suite_tidy() { need build check && build release && scripts tidy test/checks/tidy.py; }
suite_unit() { need build runtime check && build release && with_ctest unit release -L '^unit$' -j2; }
suite_contract() { need build runtime check lab && test/lab/cluster/build.sh && build release && with_ctest contract release -L '^contract$'; }
backends_table() { test/backends/table.py loop "$logs/loop-results/node_contract_loop_test.xml"; }
suite_loop() {
  need build runtime check && build release && with_ctest loop release -L '^loop$' && scripts backends backends_table
}
sanity_of_directories() { test/csi_sanity/run.sh standalone Directory; }
sanity_of_partitions() { test/csi_sanity/run.sh standalone Partition; }
sanity_of_drives() { test/csi_sanity/run.sh standalone WholeDrive; }
suite_standalone() {
  need build runtime check lab && test/lab/cluster/build.sh && build release &&
    scripts standalone test/standalone/kubectl_test.sh test/standalone/daemon_test.sh test/csi_sanity/run.sh sanity_of_directories \
      sanity_of_partitions sanity_of_drives test/standalone/quickstart_test.sh
}
suite_chart() { need check lab && test/lab/cluster/build.sh && scripts chart test/chart/run.sh; }
suite_drive() { # without its packages the tests say what is missing, and fail only with CI=true
  need build runtime check lab && test/lab/cluster/build.sh && { need drive-lab || [ "${CI:-}" != true ]; } && build release &&
    scripts drive test/drive/run.sh
}
suite_gpu() {
  need build runtime check && { need drive-lab || [ "${CI:-}" != true ]; } && build release && scripts gpu test/gpu/run.sh
}
suite_cluster() { need build runtime check lab && test/lab/cluster/build.sh && build release && scripts cluster test/e2e/run.sh; }
suite_asan() { sanitized asan; }
suite_tsan() { sanitized tsan; }

suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=("${all_suites[@]}")
for suite in "${suites[@]}"; do
  declare -F "suite_$suite" >/dev/null || { echo "no suite $suite; there are: ${all_suites[*]}" >&2; exit 2; }
done
for suite in "${suites[@]}"; do
  rm -f "$logs/$suite.log"
  "suite_$suite" || { echo "suite $suite could not be run" >>"$logs/$suite.log"; tally "$suite" 0 1 0 0; }
done

echo
printf '%s\n' "${summary[@]}"
echo "$total_passed passed, $total_failed failed, $total_skipped skipped"
[ "$total_failed" = 0 ]
