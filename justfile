# Names for the commands. `just` alone lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

_list:
    @just --list --unsorted

# The main job: 50 devices call a reference gateway that is started for them
demo: setup
    cargo build --release --locked --bins
    target/release/din run scenarios/first-call.toml

# All tests, every scenario file parsed, and the gate script on a scenario without limits on times
test: setup
    cargo build --locked --workspace --bins
    cargo test --locked --workspace
    target/debug/din check scenarios/*.toml
    rm -rf target/smoke
    DIN=target/debug/din DIN_RESULTS=target/smoke DIN_ON_INVALID=verdict docs/ci/gate.sh scenarios/smoke.toml

# Reports in headless Chromium: looked at, pointed at, printed, and checked for accessibility
test-browser:
    scripts/setup browser
    cargo build --locked --workspace --bins
    npm --prefix browser ci --no-audit --no-fund
    cd browser && DIN=../target/debug/din node --test --test-concurrency=1

# What is generated from the scenarios and their parser: the index, and the schema for editors
index: setup
    cargo build --locked --workspace --bins
    target/debug/din schema > target/schema.json
    mv target/schema.json docs/scenario.schema.json
    target/debug/din list --markdown scenarios > target/index.md
    mv target/index.md scenarios/README.md

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

# Is a captured network heard again as it was, over three seeds? As root, with tcpdump
round-trip *SEEDS: setup
    cargo build --release --locked --bins
    benches/observer/round-trip {{ SEEDS }}

# Fuzz a target, `scenario`, `capture` or `lines`, for so many seconds; installs cargo-fuzz when it is missing
fuzz SECONDS="300" TARGET="scenario": setup
    command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
    fuzz/seed
    # The instruments of the compiler are not in its stable interface.
    RUSTC_BOOTSTRAP=1 cargo fuzz run {{ TARGET }} -- -max_total_time={{ SECONDS }} -timeout=10 -rss_limit_mb=2048 -max_len=65536

# What the build needs from the system; quick when nothing is missing
setup:
    @scripts/setup
