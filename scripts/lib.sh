# shellcheck shell=bash
# What the scripts share: to be sourced. Says what it installs before it installs it.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need PROGRAM=PACKAGE ...: installs the Debian packages of the programs that are missing.
need() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null 2>&1 || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

install_packages() {
    command -v apt-get >/dev/null || die "please install: $*"
    say "Installing Debian packages: $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# A C compiler builds SQLite and the TLS library; /dev/fuse needs the superuser or `fusermount3`.
need_build_tools() {
    command -v cargo >/dev/null || die "cargo is missing: install Rust first, see https://rustup.rs"
    cc -x c - -o /dev/null <<<'int main(void) { return 0; }' 2>/dev/null || install_packages gcc libc6-dev
    need make=make fusermount3=fuse3
    [ -e /dev/fuse ] || as_root modprobe fuse 2>/dev/null || true
    [ -e /dev/fuse ] || die "this machine has no /dev/fuse; in Docker, add: --device /dev/fuse --cap-add SYS_ADMIN"
}

# need_python MODULE=PACKAGE ...: a Python of the project's own, in .venv, with these packages. Sets $python. In place of the
# module, bin/NAME stands for a program that a package brings.
need_python() {
    local pair missing=()
    need python3=python3
    python="$top/.venv/bin/python"
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
        say "Making a Python environment in .venv"
        python3 -m venv --clear "$top/.venv"
    fi
    for pair in "$@"; do
        case "${pair%%=*}" in
            bin/*) [ -x "$top/.venv/${pair%%=*}" ] || missing+=("${pair#*=}") ;;
            *) "$python" -c "import ${pair%%=*}" 2>/dev/null || missing+=("${pair#*=}") ;;
        esac
    done
    [ ${#missing[@]} = 0 ] && return
    say "Installing Python packages into .venv: ${missing[*]}"
    "$python" -m pip install --quiet --disable-pip-version-check "${missing[@]}"
}

# PyTorch without a GPU is Debian's, a tenth of what PyPI has for this processor: 80 MB to load, and no libraries for GPUs. It comes
# with Debian's own Python. Sets $system.
need_torch() {
    system=/usr/bin/python3
    "$system" -c 'import torch, numpy' 2>/dev/null || install_packages python3-torch python3-numpy
}

# need_cargo_component COMMAND=COMPONENT ...: parts of Rust that some installations leave out.
need_cargo_component() {
    local pair
    for pair in "$@"; do
        cargo "${pair%%=*}" --version >/dev/null 2>&1 && continue
        command -v rustup >/dev/null || die "please install: ${pair#*=} (a part of Rust)"
        say "Installing a part of Rust: ${pair#*=}"
        rustup component add "${pair#*=}"
    done
}

# need_cargo_tool CRATE=VERSION ...: programs from crates.io, in target/tools. Sets $tools.
need_cargo_tool() {
    local pair crate version
    local root="${CARGO_TARGET_DIR:-$top/target}/tools"
    tools="$root/bin"
    for pair in "$@"; do
        crate=${pair%%=*} version=${pair#*=}
        [ "$("$tools/$crate" --version 2>/dev/null | grep -o '[0-9][0-9.]*')" = "$version" ] && continue
        say "Installing $crate $version into $root"
        # They run for a second, and are built for minutes.
        cargo install --quiet --debug --locked --root "$root" "$crate@$version"
    done
}
