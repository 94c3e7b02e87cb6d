# Names for the commands. `just` alone lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

_list:
    @just --list --unsorted

# The main job: 50 devices call a reference gateway that is started for them
demo: setup
    cargo build --release --locked --bins
    target/release/din run scenarios/first-call.toml

# All tests, and every scenario file parsed
test: setup
    cargo build --locked --workspace --bins
    cargo test --locked --workspace
    target/debug/din check scenarios/*.toml

# Format, lints and documentation, as the gate has them
lint: setup
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

# Micro-benchmarks: protocol in ns per operation
bench *ARGS: setup
    cargo bench --locked -p benches {{ ARGS }}

# A run under a packet capture: do both tell the same latency? As root, with tcpdump and python3
observe *ARGS: setup
    cargo build --release --locked --bins
    benches/observer/observe {{ ARGS }}

# What the build needs from the system; quick when nothing is missing
setup:
    @scripts/setup
