# SPDX-License-Identifier: BSL-1.0
# shellcheck shell=bash
#
# What every script in ci/ starts with: the root of the repository as working folder, one locale, one set of compilers,
# Go on the PATH, and a few words for logs. Sourced, never run.

set -euo pipefail

EPOQUE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export EPOQUE_ROOT
cd "$EPOQUE_ROOT"

export LC_ALL=C.UTF-8
if [[ -z ${HOME:-} ]]; then
    HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
    export HOME
fi

# What cgo compiles with. CMake's presets name their compilers themselves.
export CC=gcc-12 CXX=g++-12
export GOFLAGS="${GOFLAGS:--buildvcs=false}"

# The sanitizers look for `llvm-symbolizer` on the PATH, where Debian has it only with its version.
export PATH=$PATH:/usr/lib/llvm-19/bin

# A clone that another user made (CI machines do that) is still this repository.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=$EPOQUE_ROOT

# Pinned tools.
export EPOQUE_GO_MINIMUM=1.24           # go.mod's `go` line
export EPOQUE_GO_TOOLCHAIN=go1.24.13    # what an older Go (1.21 or later) fetches for itself
export EPOQUE_STATICCHECK=v0.8.2        # needs Go 1.26 to build; Go's toolchain selection fetches it
export EPOQUE_STATICCHECK_GO=1.26

EPOQUE_TOOLS=$EPOQUE_ROOT/build/tools
EPOQUE_LOGS=$EPOQUE_ROOT/build/log
EPOQUE_JOBS=${EPOQUE_JOBS:-$(nproc)}
export EPOQUE_TOOLS EPOQUE_LOGS EPOQUE_JOBS

say() {
    printf '%s\n' "$*"
}

# A message says what, why, and what to do; it goes to standard error with the script's name.
complain() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
    complain "$@"
    exit 1
}

# Seconds since the epoch with milliseconds, without a process.
now() {
    printf '%s' "${EPOCHREALTIME/,/.}"
}

# seconds_since START -> "12.3"
seconds_since() {
    awk -v from="$1" -v to="$(now)" 'BEGIN { printf "%.1f", to - from }'
}

# version_at_least HAVE WANT, both as 1.24 or 1.24.3
version_at_least() {
    [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]
}

# Prints "1.26.8" for a Go command, nothing when it is none.
go_version_of() {
    GOTOOLCHAIN=local "$1" version 2>/dev/null | sed -n 's/^go version go\([0-9][0-9.]*\).*/\1/p'
}

# Puts the best Go of this machine on the PATH: one that is new enough, else one that can fetch the one we need.
# Fails when there is none.
use_go() {
    local candidate version older=
    for candidate in "$(command -v go || true)" /usr/local/go/bin/go "$HOME/go/bin/go" "$HOME"/sdk/go*/bin/go \
        /usr/lib/go-*/bin/go; do
        [[ -x $candidate ]] || continue
        version=$(go_version_of "$candidate")
        [[ -n $version ]] || continue
        if version_at_least "$version" "$EPOQUE_GO_MINIMUM"; then
            PATH=$(dirname "$candidate"):$PATH
            EPOQUE_GO=$version
            export PATH EPOQUE_GO
            return 0
        fi
        if [[ -z $older ]] && version_at_least "$version" 1.21; then
            older=$candidate
        fi
    done
    [[ -n $older ]] || return 1
    PATH=$(dirname "$older"):$PATH
    GOTOOLCHAIN=$EPOQUE_GO_TOOLCHAIN
    EPOQUE_GO=${EPOQUE_GO_TOOLCHAIN#go}
    export PATH GOTOOLCHAIN EPOQUE_GO
}

# as_child COMMAND...: runs a command or function in a process group of its own, waits for it, and leaves its exit code
# in $child_code; a signal to this script ends the whole group first.
# Call it as a statement of its own: under `if`, `&&` or `||` bash would ignore `set -e` inside of a function, too.
child_code=0
as_child() {
    set -m
    ("$@") &
    EPOQUE_CHILD=$!
    set +m
    child_code=0
    # shellcheck disable=SC2034 # for the callers
    wait "$EPOQUE_CHILD" || child_code=$?
    EPOQUE_CHILD=
}

EPOQUE_CHILD=
end_child() {
    local signal=$1
    trap - INT TERM
    if [[ -n $EPOQUE_CHILD ]]; then
        kill -"$signal" -- "-$EPOQUE_CHILD" 2>/dev/null || true
        wait "$EPOQUE_CHILD" 2>/dev/null || true
    fi
    complain "stopped by SIG$signal."
    exit 130
}
trap 'end_child INT' INT
trap 'end_child TERM' TERM

# configure_and_build PRESET [TARGET...]
configure_and_build() {
    local preset=$1
    shift
    cmake --preset "$preset"
    cmake --build "build/$preset" -j "$EPOQUE_JOBS" ${1:+--target "$@"}
}

staticcheck_path() {
    printf '%s/staticcheck-%s' "$EPOQUE_TOOLS" "$EPOQUE_STATICCHECK"
}

# set_up: what the scripts that need the machine's tools call first.
set_up() {
    "$EPOQUE_ROOT/ci/setup"
    use_go || die "no Go after ci/setup; this is a defect of ci/setup."
}
