# The stages of the test run, in the order in which they run; sourced by scripts/test.

STAGES="setup fmt clippy unit benchmarks build drivers matrix groups kafka-python-own kafka-tools idempotence kafka-directory fixtures"

stages_list() {
    cat << 'LIST'
setup            install what the tests need by package name; nothing to do when it is there
fmt              cargo fmt --check
clippy           cargo clippy, warnings are errors
unit             cargo test
benchmarks       the floor, the light client and the comparison on a tiny input
build            the release binaries
drivers          each client's driver notices a wrong record of every kind
matrix           six clients x five codecs x 100,000 messages, against 1, 2 and 4 cores, per-core and per-node
groups           groups of each client under load: members join, leave, crash and come back, the broker restarts
kafka-python-own kafka-python's own integration tests
kafka-tools      Kafka's own command-line tools against a broker, its dump tool against what that broker stored and compacted
idempotence      each client's idempotent producer through broken connections and restarts: each message once, in order
kafka-directory  a data directory written by Apache Kafka, served by a broker and compared record by record
fixtures         the directories in tests/fixtures, served and compared with their manifests
LIST
}

# Where a stage starts its brokers from: the built broker, or Apache Kafka to prove the tests themselves.
BROKER_UNDER_TEST=${PAGEWIRE_TEST_BROKER:-pagewire}

stage_setup() {
    setup_everything
}

stage_fmt() {
    cargo fmt --check
}

stage_clippy() {
    # What clippy.toml forbids is forbidden to the product; tests look at files and wait as they like.
    cargo clippy --lib --bins --quiet -- -D warnings
    cargo clippy --all-targets --quiet -- -D warnings -A clippy::disallowed_methods -A clippy::disallowed_types
}

stage_unit() {
    # Minutes; the bound only turns a test that hangs into one that fails.
    timeout 1800 cargo test --quiet
}

stage_benchmarks() {
    cargo clippy --package pagewire-floor --package pagewire-compare --package pagewire-plot --all-targets --quiet -- -D warnings \
        -A clippy::disallowed_methods -A clippy::disallowed_types
    # The comparison starts the programs that it finds beside its own.
    cargo build --quiet --package pagewire --package pagewire-floor --bins
    timeout 600 cargo test --quiet --package pagewire-floor --package pagewire-compare --package pagewire-plot
}

stage_build() {
    cargo build --release --bins
}

python_test() {
    "$TOOLS/python/bin/python" "$ROOT/tests/clients/$1" "${@:2}"
}

stage_drivers() {
    python_test drivers_notice.py --broker "$BROKER_UNDER_TEST"
}

stage_groups() {
    python_test group_history_notice.py
    python_test group_matrix.py --broker "$BROKER_UNDER_TEST"
}

stage_kafka_python_own() {
    python_test kafka_python_own.py --broker "$BROKER_UNDER_TEST"
}

stage_matrix() {
    python_test matrix.py --broker "$BROKER_UNDER_TEST"
}

stage_kafka_tools() {
    python_test kafka_tools.py --groups --broker "$BROKER_UNDER_TEST"
    python_test compaction.py --broker "$BROKER_UNDER_TEST"
}

stage_idempotence() {
    python_test idempotence.py
}

stage_kafka_directory() {
    python_test kafka_directory.py --broker "$BROKER_UNDER_TEST"
}

stage_fixtures() {
    python_test fixtures.py --broker "$BROKER_UNDER_TEST"
}
