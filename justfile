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

# Kills the daemon at random moments under load: HARM_ROUNDS times (500 unless given), from seed HARM_SEED on.
crash-loop:
    HARM_ROUNDS=${HARM_ROUNDS:-500} cargo test --locked --test harm -- --exact --nocapture killed::a_daemon_killed_at_random_moments_loses_nothing_that_it_acknowledged

# Cuts the power under load (root, FUSE and loop devices): `just powercut --rounds 200 --keep 0,0.5,1 --seed 1`.
powercut *ARGS:
    scripts/powercut {{ARGS}}

# Figures of the console's log viewer in a real Chromium, on a log of so many lines.
log-figures LINES="2000000":
    scripts/log-figures {{LINES}}
