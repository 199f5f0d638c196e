# What CI runs.
check:
    scripts/test

# Format, clippy and the library's own tests.
quick:
    scripts/test --quick

# The daemon on the shipped schedules, with its data in ./data.
run *ARGS:
    cargo run --release -- serve --data data {{ARGS}}

# The simulation: SIM_SEEDS seeds (2,000 unless given), from SIM_FROM on.
sim:
    SIM_SEEDS=${SIM_SEEDS:-2000} cargo test --locked --lib -- --exact --nocapture engine::sim::tests::stories_from_seeds_end_as_the_contract_says

# Fuzzes one target (all of them unless named) for so many seconds each.
fuzz TARGET="all" SECONDS="600":
    scripts/fuzz {{TARGET}} {{SECONDS}}

# The figures, each beside its limit of the same run; all of them, or those that are named.
bench *NAMES:
    scripts/bench {{NAMES}}

# Licences, bans, sources, and known vulnerabilities (these need the network).
deny:
    cargo deny check

# The Debian package, in target/debian.
deb:
    scripts/deb
